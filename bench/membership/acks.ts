import type { RegionHeader } from '../../src/memory/header.ts';
import { MEMBER_W, PAGE_BYTES } from '../../src/memory/layout.ts';

/** What the member in a VM is told to do, a word a line. */
export type GuestCommand = 'join' | 'leave' | 'crash';

/** Words of a member's statistics that mean nothing yet (docs/shared-memory.md): counters 27 to 31. From `first` on. */
const FIRST_UNUSED = 54;

/** Which of them says what: the newest view an event told of, and one found by each way of polling; and "now", before an end. */
export const ackWords = { event: 0, polls: [1, 2], mark: 3, count: 4 } as const;

/** Index of the first of them in the words of the region. */
export function wordBase(header: RegionHeader, slot: number): number {
  return ((header.memberPage + slot) * PAGE_BYTES) / 4 + MEMBER_W.statistics + FIRST_UNUSED;
}

/** A store that was seen: whose, which word, what, and when (nanoseconds). */
export interface Ack {
  readonly slot: number;
  readonly word: number;
  readonly value: number;
  readonly at: number;
}

/** An event that told which change a view was. */
export interface Told {
  readonly type: string;
  readonly name: string;
  readonly reason?: string;
  readonly view: number;
}

/** What to wait for, and in which words. */
export interface Look {
  readonly type: 'join' | 'leave';
  readonly name: string;
  /** Of these slots, all of these words must get to the view of the change. */
  readonly slots: readonly number[];
  readonly words: readonly number[];
  readonly limitMs: number;
}

/** What was seen while a change was made: stores of the VMs, and the events that the process which looks got afterwards. */
export interface Watch {
  readonly acks: readonly Ack[];
  readonly told: readonly Told[];
}

/** When each of `slots` stored `view` (or a later one: words hold only the newest) in `word` first; null: never. */
export function firstSeen(
  acks: readonly Ack[],
  slots: readonly number[],
  word: number,
  view: number,
): (number | null)[] {
  return slots.map(
    (slot) =>
      acks.find((ack) => ack.slot === slot && ack.word === word && ((ack.value - view) | 0) >= 0)?.at ?? null,
  );
}

/** When the holder of a slot said "now"; null: it did not. */
export function markSeen(acks: readonly Ack[], slot: number): number | null {
  return acks.find((ack) => ack.slot === slot && ack.word === ackWords.mark)?.at ?? null;
}
