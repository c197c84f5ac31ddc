import {
  DRAFT_BYTES,
  EVENT_ENTRIES,
  MEMBER_BYTES,
  MEMBER_W,
  REPLY_WORDS,
  REQUEST_WORDS,
  STATISTICS,
  type StatisticName,
} from '../../memory/layout.ts';
import { REASON_CRASHED, REASON_EVICTED, REASONS } from '../../memory/membership.ts';
import type { Slot } from './slots.ts';

/** The server's side of the member blocks. What it reads there it copies once; members may write anything at any time. */
export class MemberBlocks {
  readonly #words: Int32Array;
  readonly #at: number;

  /** `at`: word index of the block of slot 0. */
  constructor(words: Int32Array, at: number) {
    this.#words = words;
    this.#at = at;
  }

  /** Word index of a member block. */
  block(slot: number): number {
    return this.#at + slot * (MEMBER_BYTES / 4);
  }

  /** Zeroes the block of a slot before a client gets it: nothing of its last holder remains. */
  clear(slot: number): void {
    const at = this.block(slot);
    this.#words.fill(0, at, at + MEMBER_BYTES / 4);
  }

  /** Empties the events of a member that (re)attaches. */
  clearEvents(slot: number): void {
    const at = this.block(slot);
    this.#words.fill(0, at + MEMBER_W.events, at + MEMBER_W.events + EVENT_ENTRIES);
    Atomics.store(this.#words, at + MEMBER_W.eventCount, 0);
  }

  /** A copy of the request that a member wrote since `slot.lastSeq`, or null. Word 0 is its seq. */
  request(slot: Slot): Int32Array | null {
    const at = this.block(slot.id) + MEMBER_W.request;
    // Acquire: pairs with the member's release of seq.
    const seq = Atomics.load(this.#words, at);
    if (seq === slot.lastSeq) return null;
    const copy = this.#words.slice(at, at + REQUEST_WORDS);
    copy[0] = seq;
    return copy;
  }

  reply(slot: number, seq: number, [status, ...results]: readonly number[]): void {
    const at = this.block(slot) + MEMBER_W.reply;
    this.#words.fill(0, at + 1, at + REPLY_WORDS);
    this.#words[at + 1] = status!;
    this.#words.set(results, at + 2);
    // Release: pairs with the member's acquire of the reply's seq.
    Atomics.store(this.#words, at, seq);
  }

  /** Event number `index`, counted from 0. */
  event(slot: number, index: number, channel: number): void {
    this.#words[this.block(slot) + MEMBER_W.events + (index % EVENT_ENTRIES)] = channel;
    this.eventCount(slot, (index + 1) >>> 0);
  }

  eventCount(slot: number, count: number): void {
    // Release: pairs with the member's acquire of eventCount.
    Atomics.store(this.#words, this.block(slot) + MEMBER_W.eventCount, count | 0);
  }

  /** Why the driver's present life has ended, when somebody wrote so; null when not. */
  obituary(slot: Slot): number | null {
    const at = this.block(slot.id);
    // Acquire: pairs with the release of the obituary, which comes after its reason.
    if (slot.generation === 0 || Atomics.load(this.#words, at + MEMBER_W.obituary) !== slot.generation)
      return null;
    const reason = this.#words[at + MEMBER_W.obituaryReason]!;
    // Only the server evicts; a number that says nothing was written by something that broke.
    return reason > 0 && reason < REASONS.length && reason !== REASON_EVICTED ? reason : REASON_CRASHED;
  }

  /** A copy of the first `bytes` bytes of the draft, at most DRAFT_BYTES. */
  draft(slot: number, bytes: number): Uint8Array {
    const start = this.#words.byteOffset + (this.block(slot) + MEMBER_W.draft) * 4;
    return new Uint8Array(this.#words.buffer, start, Math.min(bytes, DRAFT_BYTES)).slice();
  }

  /** Whether the member wants to hear of every view. */
  watching(slot: number): boolean {
    // Acquire: pairs with the member's store before its first look at the table.
    return Atomics.load(this.#words, this.block(slot) + MEMBER_W.watching) !== 0;
  }

  pulse(slot: number, number: number): void {
    // Release, and the full fence before the mark: pairs with the member's load when it serves its control bit.
    Atomics.store(this.#words, this.block(slot) + MEMBER_W.pulse, number);
  }

  pulseAnswer(slot: number): number {
    // Acquire: pairs with the member's release after its statistics.
    return Atomics.load(this.#words, this.block(slot) + MEMBER_W.pulseAnswer);
  }

  /** What the member counted, as of its last answer to a pulse. Its own words: good for showing only. */
  statistics(slot: number): Record<StatisticName, bigint> {
    const at = this.block(slot) + MEMBER_W.statistics;
    const copy = this.#words.slice(at, at + STATISTICS.length * 2);
    const counters = new BigUint64Array(copy.buffer);
    return Object.fromEntries(STATISTICS.map((name, i) => [name, counters[i]!])) as Record<
      StatisticName,
      bigint
    >;
  }
}
