import { MEMBER_W, STATISTICS, type StatisticName } from '../memory/layout.ts';
import { RECORD_W } from '../memory/member-record.ts';
import { MEMBERSHIP_W, type MembershipPlace, RECORD_WORDS, STATE_SUSPECT } from '../memory/membership.ts';

export type Statistics = Record<StatisticName, number>;

/**
 * The member's side of the pulse: the server asks with a new number for a sign of life and fresh statistics. `base`: word index
 * of the member's block.
 */
export class Pulse {
  readonly #words: Int32Array;
  readonly #base: number;
  #answered = 0;

  constructor(words: Int32Array, base: number) {
    this.#words = words;
    this.#base = base;
    this.#answered = words[base + MEMBER_W.pulse]!;
  }

  /** Answers if the server asks; `statistics` is called only then. True when it did. */
  answer(statistics: () => Statistics): boolean {
    const words = this.#words;
    const asked = Atomics.load(words, this.#base + MEMBER_W.pulse);
    if (asked === this.#answered) return false;
    this.#answered = asked;
    const values = statistics();
    STATISTICS.forEach((name, index) => {
      write64(words, this.#base + MEMBER_W.statistics + 2 * index, values[name]);
    });
    // Release: pairs with the server's acquire of pulseAnswer, after which it reads the statistics.
    Atomics.store(words, this.#base + MEMBER_W.pulseAnswer, asked);
    return true;
  }
}

/** A count (a safe integer) as low word, high word. */
export function write64(words: Int32Array, at: number, value: number): void {
  words[at] = value | 0;
  words[at + 1] = (value / 2 ** 32) | 0;
}

/** Whether the table calls a slot suspect: a hint, read from live memory without a check. */
export function looksSuspect(words: Int32Array, place: MembershipPlace, slot: number): boolean {
  const copy = Atomics.load(words, place.header + MEMBERSHIP_W.current) & 1;
  const change = Atomics.load(words, place.tables[copy]! + slot * RECORD_WORDS + RECORD_W.change);
  return ((change >>> 16) & 0xff) === STATE_SUSPECT;
}
