import { type NewHeader, writeHeader } from '../../memory/header.ts';
import {
  CHANNEL_BYTES,
  CHANNEL_FREE,
  CHANNEL_OPEN,
  CHANNEL_W,
  channelLayout,
  NAME_BYTES,
  PAGE_BYTES,
  SLOT_BYTES,
  SLOT_FREE,
  SLOT_W,
  SPACE_BYTES,
  SPACE_FREE,
  SPACE_NAME_BYTES,
  SPACE_OPEN,
  SPACE_PERSISTENT,
  SPACE_RELEASE,
  SPACE_REPLICAS_SHIFT,
  SPACE_SPREAD,
  SPACE_W,
  tablePages,
} from '../../memory/layout.ts';
import { type MembershipPlace, placeAt } from '../../memory/membership.ts';
import { writeName } from '../../memory/names.ts';
import type { ChannelRecord, SpaceRecord } from '../records/records.ts';
import { MemberBlocks } from './member-blocks.ts';
import type { Slot } from './slots.ts';

const PAGE_WORDS = PAGE_BYTES / 4;

/**
 * The server's hand on the shared tables. It only writes: whatever a member scribbles there, the server's own records
 * decide, and they are in its private memory.
 */
export class Tables {
  readonly words: Int32Array;
  readonly heapPage: number;
  readonly members: MemberBlocks;
  readonly membership: MembershipPlace;
  readonly #memory: ArrayBuffer;
  readonly #slotAt: number;
  readonly #channelAt: number;
  readonly #spaceAt: number;

  /** `minor`: of the region's layout. */
  constructor(memory: ArrayBuffer, slots: number, channels: number, minor?: number) {
    const pages = tablePages(slots, channels, minor);
    this.#memory = memory;
    this.heapPage = pages.heapPage;
    this.words = new Int32Array(memory, 0, pages.heapPage * PAGE_WORDS);
    this.members = new MemberBlocks(this.words, pages.memberPage * PAGE_WORDS);
    this.membership = placeAt(pages.membershipPage, slots);
    this.#slotAt = pages.slotTablePage * PAGE_WORDS;
    this.#channelAt = pages.channelTablePage * PAGE_WORDS;
    this.#spaceAt = pages.spacePage * PAGE_WORDS;
  }

  /** Makes a fresh region. */
  format(header: NewHeader): void {
    this.words.fill(0);
    writeHeader(this.#memory, header);
  }

  /** The header again, under members that may be reading it: a word that is right is not touched. */
  repairHeader(header: NewHeader): void {
    const page = new ArrayBuffer(PAGE_BYTES);
    writeHeader(page, header);
    for (const [at, word] of new Int32Array(page).entries()) {
      if (this.words[at] !== word) Atomics.store(this.words, at, word);
    }
  }

  writeSlot(slot: Slot): void {
    const at = this.#slotAt + slot.id * (SLOT_BYTES / 4);
    const { words } = this;
    // Not free and not attached while the fields change.
    if (slot.state === SLOT_FREE) Atomics.store(words, at + SLOT_W.state, slot.state);
    words[at + SLOT_W.pid] = slot.credentials.pid;
    words[at + SLOT_W.uid] = slot.credentials.uid;
    words[at + SLOT_W.gid] = slot.credentials.gid;
    words[at + SLOT_W.generation] = slot.generation;
    writeName(words, at + SLOT_W.name, NAME_BYTES, slot.name);
    Atomics.store(words, at + SLOT_W.epoch, slot.epoch);
    // Release: whoever reads this state with acquire finds the fields that belong to it.
    Atomics.store(words, at + SLOT_W.state, slot.state);
  }

  /** Publishes the entry of a channel whose rings were zeroed, `state` last. */
  writeChannel(channel: Readonly<ChannelRecord>): void {
    const { words } = this;
    const at = this.#channelEntry(channel.number);
    words[at + CHANNEL_W.generation] = channel.generation;
    words[at + CHANNEL_W.slots] = channel.connector.slot | (channel.listener.slot << 16);
    words[at + CHANNEL_W.connectorEpoch] = channel.connector.epoch;
    words[at + CHANNEL_W.listenerEpoch] = channel.listener.epoch;
    words[at + CHANNEL_W.firstPage] = channel.firstPage;
    words[at + CHANNEL_W.pages] = channel.pages;
    words[at + CHANNEL_W.queueSize] = channel.queueSize;
    words[at + CHANNEL_W.dataBytes] = channel.dataBytes;
    words[at + CHANNEL_W.closed] = channel.closed;
    words[at + CHANNEL_W.listener] = channel.listenerId;
    // Release: pairs with the members' acquire of state.
    Atomics.store(words, at + CHANNEL_W.state, CHANNEL_OPEN);
  }

  writeClosed(channel: Readonly<ChannelRecord>): void {
    Atomics.store(this.words, this.#channelEntry(channel.number) + CHANNEL_W.closed, channel.closed);
  }

  freeChannel(number: number): void {
    Atomics.store(this.words, this.#channelEntry(number) + CHANNEL_W.state, CHANNEL_FREE);
  }

  /** Publishes the entry of a space whose memory was zeroed, `state` last. */
  writeSpace(space: Readonly<SpaceRecord>): void {
    const { words } = this;
    const at = this.#spaceEntry(space.number);
    words[at + SPACE_W.generation] = space.generation;
    words[at + SPACE_W.firstPage] = space.firstPage;
    words[at + SPACE_W.pages] = space.pages;
    words[at + SPACE_W.systemPages] = space.systemPages;
    words[at + SPACE_W.bytesLow] = space.bytes >>> 0;
    words[at + SPACE_W.bytesHigh] = Math.floor(space.bytes / 2 ** 32);
    words[at + SPACE_W.flags] =
      (space.persistent ? SPACE_PERSISTENT : 0) |
      (space.spread === null ? 0 : SPACE_SPREAD) |
      (space.spread?.consistency === 'release' ? SPACE_RELEASE : 0) |
      (((space.spread?.replicas ?? 1) - 1) << SPACE_REPLICAS_SHIFT);
    words[at + SPACE_W.holders] = space.holders.length;
    words[at + SPACE_W.creator] = space.creator.slot;
    words[at + SPACE_W.creatorEpoch] = space.creator.epoch;
    writeName(words, at + SPACE_W.name, SPACE_NAME_BYTES, space.name);
    // Release: pairs with the members' acquire of state.
    Atomics.store(words, at + SPACE_W.state, SPACE_OPEN);
  }

  freeSpace(number: number): void {
    Atomics.store(this.words, this.#spaceEntry(number) + SPACE_W.state, SPACE_FREE);
  }

  #spaceEntry(number: number): number {
    return this.#spaceAt + number * (SPACE_BYTES / 4);
  }

  #channelEntry(number: number): number {
    return this.#channelAt + number * (CHANNEL_BYTES / 4);
  }

  /**
   * Descriptors of an earlier channel there could look available to the new one. The data areas stay as they are:
   * inside a region everybody can read everything anyway.
   */
  zeroRings(channel: Readonly<ChannelRecord>): void {
    const start = channel.firstPage * PAGE_BYTES;
    for (const direction of channelLayout(channel.queueSize, channel.dataBytes).directions) {
      new Uint8Array(this.#memory, start + direction.ring, direction.data - direction.ring).fill(0);
    }
  }

  zeroPages(firstPage: number, pages: number): void {
    new Uint8Array(this.#memory, firstPage * PAGE_BYTES, pages * PAGE_BYTES).fill(0);
  }
}
