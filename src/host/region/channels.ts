import {
  CLOSED_CONNECTOR,
  CLOSED_DIED,
  CLOSED_LISTENER,
  channelLayout,
  PAGE_BYTES,
  STATUS_NO_CHANNEL,
  STATUS_NO_MEMORY,
  STATUS_OK,
  STATUS_QUOTA,
} from '../../memory/layout.ts';
import type { PageAllocator } from '../records/allocator.ts';
import type { Charge, Ledger } from '../records/ledger.ts';
import { type ChannelRecord, channelKey, generationKey } from '../records/records.ts';
import type { Transaction } from '../records/transaction.ts';
import type { Slot } from './slots.ts';

export type { ChannelRecord } from '../records/records.ts';

/** What the channels do to the shared tables and to members; RegionServer's Tables and doorbells. */
export interface ChannelEffects {
  /** At once, while nobody uses the memory. */
  zeroRings(channel: ChannelRecord): void;
  writeChannel(channel: ChannelRecord): void;
  writeClosed(channel: ChannelRecord): void;
  freeChannel(number: number): void;
  /** Tells the member on this side, after the commit, that something about the channel changed. */
  event(tx: Transaction, slot: number, channel: number): void;
}

const BOTH_SIDES = CLOSED_CONNECTOR | CLOSED_LISTENER;

/**
 * Open channels and their memory. A channel is charged to its connector, and once one side is gone to the other: who
 * keeps a dead peer's channel open pays for it.
 */
export class Channels {
  readonly #effects: ChannelEffects;
  readonly #allocator: PageAllocator;
  readonly #ledger: Ledger;
  readonly #open = new Map<number, ChannelRecord>();
  readonly #bySlot: readonly Set<ChannelRecord>[];
  readonly #generations: Uint32Array;
  /** Free channel numbers; the last freed is used first, which keeps the pending words dense. */
  readonly #free: number[] = [];

  constructor(
    slots: number,
    channels: number,
    allocator: PageAllocator,
    ledger: Ledger,
    effects: ChannelEffects,
  ) {
    this.#effects = effects;
    this.#allocator = allocator;
    this.#ledger = ledger;
    this.#bySlot = Array.from({ length: slots }, () => new Set<ChannelRecord>());
    this.#generations = new Uint32Array(channels);
    for (let number = channels - 1; number > 0; number--) this.#free.push(number);
  }

  /**
   * The channels as they were; `allocator` has all of its pages free yet. Throws a RangeError when they cannot have been open
   * at the same time.
   */
  static restore(
    slots: number,
    channels: number,
    allocator: PageAllocator,
    ledger: Ledger,
    effects: ChannelEffects,
    records: readonly ChannelRecord[],
    generations: ReadonlyMap<number, number>,
  ): Channels {
    const restored = new Channels(slots, channels, allocator, ledger, effects);
    for (const [number, generation] of generations) {
      if (!(number > 0 && number < channels)) throw new RangeError(`there is no channel ${number}`);
      restored.#generations[number] = generation;
    }
    for (const record of records) restored.#adopt({ ...record });
    const free = restored.#free.filter((number) => !restored.#open.has(number));
    restored.#free.splice(0, restored.#free.length, ...free);
    return restored;
  }

  #adopt(channel: ChannelRecord): void {
    const { number, connector, listener, closed, generation } = channel;
    const refuse = (why: string): never => {
      throw new RangeError(`channel ${number} ${why}`);
    };
    const slots = this.#bySlot.length;
    if (this.#generations[number] !== generation || this.#open.has(number)) refuse('has two lives');
    if (connector.slot >= slots || listener.slot >= slots || connector.slot === listener.slot) {
      refuse('has no two sides');
    }
    if ((closed & BOTH_SIDES) === BOTH_SIDES) refuse('is closed');
    if (channelLayout(channel.queueSize, channel.dataBytes).bytes !== channel.pages * PAGE_BYTES) {
      refuse('has memory of another size');
    }
    if (!this.#allocator.claim(channel.firstPage, channel.pages)) refuse('has memory that is not free');
    this.#open.set(number, channel);
    if (!(closed & CLOSED_CONNECTOR)) this.#bySlot[connector.slot]!.add(channel);
    if (!(closed & CLOSED_LISTENER)) this.#bySlot[listener.slot]!.add(channel);
    this.#charge(closed & CLOSED_CONNECTOR ? listener.slot : connector.slot, channel, 1);
  }

  get openCount(): number {
    return this.#open.size;
  }

  get open(): Iterable<Readonly<ChannelRecord>> {
    return this.#open.values();
  }

  /** What a slot is charged for. */
  charge(slot: number): Readonly<Charge> {
    return this.#ledger.of(slot);
  }

  /** Channels this slot is still a side of. */
  count(slot: number): number {
    return this.#bySlot[slot]!.size;
  }

  /** queueSize and dataBytes were checked. The listener learns of the channel by an event, the connector by the reply. */
  connect(
    tx: Transaction,
    connector: Slot,
    listener: Slot,
    listenerId: number,
    queueSize: number,
    dataBytes: number,
  ): { status: number; channel: ChannelRecord | null } {
    const pages = channelLayout(queueSize, dataBytes).bytes / PAGE_BYTES;
    if (!this.#ledger.has(connector.id, 'channels', pages)) return { status: STATUS_QUOTA, channel: null };
    const number = this.#free.at(-1);
    const firstPage = number === undefined ? null : this.#allocator.allocate(pages);
    if (number === undefined || firstPage === null) return { status: STATUS_NO_MEMORY, channel: null };
    this.#free.pop();
    // 0 is skipped: it is what an entry says that was never used.
    this.#generations[number]! += this.#generations[number] === 0xffffffff ? 2 : 1;
    const channel: ChannelRecord = {
      number,
      generation: this.#generations[number]!,
      connector: { slot: connector.id, epoch: connector.epoch },
      listener: { slot: listener.id, epoch: listener.epoch },
      listenerId,
      firstPage,
      pages,
      queueSize,
      dataBytes,
      closed: 0,
    };
    this.#open.set(number, channel);
    this.#bySlot[connector.id]!.add(channel);
    this.#bySlot[listener.id]!.add(channel);
    this.#charge(connector.id, channel, 1);
    tx.put(channelKey(number), { ...channel });
    tx.put(generationKey(number), { generation: channel.generation });
    this.#effects.zeroRings(channel);
    tx.after(() => this.#effects.writeChannel(channel));
    this.#effects.event(tx, listener.id, number);
    return { status: STATUS_OK, channel };
  }

  /** CLOSE by a member: only its own side of the channel's present life. */
  close(tx: Transaction, slot: number, number: number, generation: number): number {
    const channel = this.#open.get(number);
    if (channel === undefined || channel.generation !== generation || !this.#bySlot[slot]!.has(channel)) {
      return STATUS_NO_CHANNEL;
    }
    this.#leave(tx, channel, slot, 0);
    return STATUS_OK;
  }

  /** Ends every channel of a slot: its holder left, or died. */
  closeAll(tx: Transaction, slot: number, died: boolean): void {
    for (const channel of [...this.#bySlot[slot]!]) this.#leave(tx, channel, slot, died ? CLOSED_DIED : 0);
  }

  #leave(tx: Transaction, channel: ChannelRecord, slot: number, how: number): void {
    const { number, connector, listener } = channel;
    const side = slot === connector.slot ? CLOSED_CONNECTOR : CLOSED_LISTENER;
    const other = slot === connector.slot ? listener.slot : connector.slot;
    this.#bySlot[slot]!.delete(channel);
    const last = (channel.closed & BOTH_SIDES) !== 0;
    const charged = last || side === CLOSED_CONNECTOR ? slot : other;
    channel.closed |= side | (last ? 0 : how);
    if (!last) {
      if (charged === slot) {
        this.#charge(slot, channel, -1);
        this.#charge(other, channel, 1);
      }
      tx.put(channelKey(number), { ...channel });
      tx.after(() => this.#effects.writeClosed(channel));
      this.#effects.event(tx, other, number);
      return;
    }
    this.#charge(charged, channel, -1);
    tx.put(channelKey(number), null);
    tx.after(() => {
      this.#effects.writeClosed(channel);
      this.#effects.freeChannel(number);
    });
    this.#open.delete(number);
    this.#allocator.release(channel.firstPage);
    this.#free.push(number);
  }

  #charge(slot: number, channel: ChannelRecord, sign: 1 | -1): void {
    this.#ledger.charge(slot, 'channels', channel.pages, sign);
  }
}
