import { randomBytes } from 'node:crypto';
import { type NewHeader, writeHeader } from '../memory/header.ts';
import {
  CHANNEL_BYTES,
  CHANNEL_FREE,
  CHANNEL_OPEN,
  CHANNEL_W,
  channelLayout,
  EVENT_ENTRIES,
  MEMBER_BYTES,
  MEMBER_W,
  NAME_BYTES,
  PAGE_BYTES,
  REPLY_WORDS,
  REQUEST_WORDS,
  SLOT_BYTES,
  SLOT_FREE,
  SLOT_W,
  tablePages,
} from '../memory/layout.ts';
import { writeName } from '../memory/names.ts';
import type { ChannelRecord } from './channels.ts';
import type { Slot } from './slots.ts';

const PAGE_WORDS = PAGE_BYTES / 4;

/**
 * The server's hand on the shared tables. It only writes, but for requests: whatever a member scribbles there, the
 * server's own records decide, and they are in its private memory.
 */
export class Tables {
  readonly words: Int32Array;
  readonly heapPage: number;
  readonly #memory: ArrayBuffer;
  readonly #slotAt: number;
  readonly #memberAt: number;
  readonly #channelAt: number;

  constructor(memory: ArrayBuffer, slots: number, channels: number) {
    const pages = tablePages(slots, channels);
    this.#memory = memory;
    this.heapPage = pages.heapPage;
    this.words = new Int32Array(memory, 0, pages.heapPage * PAGE_WORDS);
    this.#slotAt = pages.slotTablePage * PAGE_WORDS;
    this.#memberAt = pages.memberPage * PAGE_WORDS;
    this.#channelAt = pages.channelTablePage * PAGE_WORDS;
  }

  /** Makes a fresh region with a new uuid. */
  format(header: Omit<NewHeader, 'uuid'>): void {
    this.words.fill(0);
    writeHeader(this.#memory, { ...header, uuid: randomBytes(16) });
  }

  /** Word index of a member block. */
  member(slot: number): number {
    return this.#memberAt + slot * (MEMBER_BYTES / 4);
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

  /** Zeroes the block of a slot before a client gets it: nothing of its last holder remains. */
  clearMember(slot: number): void {
    const at = this.member(slot);
    this.words.fill(0, at, at + MEMBER_BYTES / 4);
  }

  /** Empties the events of a member that (re)attaches. */
  clearEvents(slot: Slot): void {
    slot.events = 0;
    const at = this.member(slot.id);
    this.words.fill(0, at + MEMBER_W.events, at + MEMBER_W.events + EVENT_ENTRIES);
    Atomics.store(this.words, at + MEMBER_W.eventCount, 0);
  }

  /** A copy of the request that a member wrote since `slot.lastSeq`, or null. Word 0 is its seq. */
  takeRequest(slot: Slot): Int32Array | null {
    const at = this.member(slot.id) + MEMBER_W.request;
    // Acquire: pairs with the member's release of seq.
    const seq = Atomics.load(this.words, at);
    if (seq === slot.lastSeq) return null;
    const copy = this.words.slice(at, at + REQUEST_WORDS);
    copy[0] = seq;
    slot.lastSeq = seq;
    return copy;
  }

  writeReply(slot: number, seq: number, status: number, results: readonly number[]): void {
    const at = this.member(slot) + MEMBER_W.reply;
    this.words.fill(0, at + 1, at + REPLY_WORDS);
    this.words[at + 1] = status;
    this.words.set(results, at + 2);
    // Release: pairs with the member's acquire of the reply's seq.
    Atomics.store(this.words, at, seq);
  }

  writeEvent(slot: Slot, channel: number): void {
    const at = this.member(slot.id);
    this.words[at + MEMBER_W.events + (slot.events % EVENT_ENTRIES)] = channel;
    slot.events = (slot.events + 1) >>> 0;
    // Release: pairs with the member's acquire of eventCount.
    Atomics.store(this.words, at + MEMBER_W.eventCount, slot.events | 0);
  }

  /** Zeroes the rings of a channel, then publishes its entry, `state` last. */
  writeChannel(channel: ChannelRecord): void {
    const { words } = this;
    this.#zeroRings(channel);
    const at = this.#channelEntry(channel.number);
    words[at + CHANNEL_W.generation] = channel.generation;
    words[at + CHANNEL_W.slots] = channel.connector.slot | (channel.listener.slot << 16);
    words[at + CHANNEL_W.connectorEpoch] = channel.connector.epoch;
    words[at + CHANNEL_W.listenerEpoch] = channel.listener.epoch;
    words[at + CHANNEL_W.firstPage] = channel.firstPage;
    words[at + CHANNEL_W.pages] = channel.pages;
    words[at + CHANNEL_W.queueSize] = channel.queueSize;
    words[at + CHANNEL_W.dataBytes] = channel.dataBytes;
    words[at + CHANNEL_W.closed] = 0;
    words[at + CHANNEL_W.listener] = channel.listenerId;
    // Release: pairs with the members' acquire of state.
    Atomics.store(words, at + CHANNEL_W.state, CHANNEL_OPEN);
  }

  writeClosed(channel: ChannelRecord): void {
    Atomics.store(this.words, this.#channelEntry(channel.number) + CHANNEL_W.closed, channel.closed);
  }

  freeChannel(number: number): void {
    Atomics.store(this.words, this.#channelEntry(number) + CHANNEL_W.state, CHANNEL_FREE);
  }

  #channelEntry(number: number): number {
    return this.#channelAt + number * (CHANNEL_BYTES / 4);
  }

  /**
   * Descriptors of an earlier channel there could look available to the new one. The data areas stay as they are:
   * inside a region everybody can read everything anyway.
   */
  #zeroRings(channel: ChannelRecord): void {
    const start = channel.firstPage * PAGE_BYTES;
    for (const direction of channelLayout(channel.queueSize, channel.dataBytes).directions) {
      new Uint8Array(this.#memory, start + direction.ring, direction.data - direction.ring).fill(0);
    }
  }
}
