import type { Heap } from '../../../src/dsm/index.ts';

/** The root piece of the heap, in words: a total, and what each member says it added to it. */
export const TOTAL = 0;
export const OWN = 1;
export const MEMBERS = 7;
/** Byte offset in the root piece of the pointers to each member's pieces. */
export const TABLE = 32;
export const TABLE_PIECES = 16;
export const ROOT_BYTES = TABLE + MEMBERS * TABLE_PIECES * 8;

export function sum(words: Int32Array): number {
  let all = 0;
  for (let n = 0; n < MEMBERS; n++) all += words[OWN + n]!;
  return all;
}

/** What the next owner does when the last one died in the middle. */
export function repair(words: Int32Array): void {
  words[TOTAL] = sum(words);
}

/** Frees all pieces of one member. */
export function clear(heap: Heap, buffer: ArrayBuffer, table: number): void {
  for (let n = 0; n < TABLE_PIECES; n++) {
    const piece = new Uint32Array(buffer, table + n * 8, 1)[0]!;
    if (piece !== 0) heap.free(piece, { from: table + n * 8 });
  }
}
