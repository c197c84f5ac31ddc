import { LIFE_W, LIFE_WORDS, LIVES_W, SITTING_DOWN } from '../sync/layout.ts';
import type { Lives } from '../sync/lives.ts';

const SEATS = 256;
const at = (seat: number): number => LIVES_W + seat * LIFE_WORDS;

/**
 * Takes a number beyond the region's slots for a thread of `member`, which then does not count as here yet; -1: all are taken. Of those whose
 * member is gone nobody counts as here, and nobody but the next who takes it changes the word.
 */
export function takeSeat(
  words: Int32Array,
  firstSeat: number,
  member: number,
  lives: Pick<Lives, 'alive'>,
): number {
  for (let seat = firstSeat; seat < SEATS; seat++) {
    const owner = Atomics.load(words, at(seat) + LIFE_W.owner);
    if (owner !== 0 && lives.alive(owner & ~SITTING_DOWN)) continue;
    const mine = member | SITTING_DOWN;
    if (Atomics.compareExchange(words, at(seat) + LIFE_W.owner, owner, mine) === owner) return seat;
  }
  return -1;
}

/** The thread is here: its life has begun. */
export function sitDown(words: Int32Array, seat: number, member: number): void {
  Atomics.store(words, at(seat) + LIFE_W.owner, member);
}

/** Byte offsets of what is to be 0 when a thread has ended: nobody is here first, and then the seat is free. */
export function wordsOfSeat(seat: number): number[] {
  return [at(seat) + LIFE_W.present, at(seat) + LIFE_W.owner].map((word) => word * 4);
}
