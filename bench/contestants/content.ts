/** What the messages hold and how it is checked: the same in every contestant (native/packed_rate.c, native/copy.c). */
export const smallBytes = 64;
export const largeBytes = 65536;
export const burst = 32;

export const largeWords = largeBytes / 4;
/** One 32-bit word per 64-byte cache line. */
const lineWords = 16;

/** 64 bytes: word w holds sequence + w. Written out, because V8 does not unroll loops and C compilers do. */
export function fillSmall(words: Int32Array, at: number, sequence: number): void {
  words[at] = sequence;
  words[at + 1] = sequence + 1;
  words[at + 2] = sequence + 2;
  words[at + 3] = sequence + 3;
  words[at + 4] = sequence + 4;
  words[at + 5] = sequence + 5;
  words[at + 6] = sequence + 6;
  words[at + 7] = sequence + 7;
  words[at + 8] = sequence + 8;
  words[at + 9] = sequence + 9;
  words[at + 10] = sequence + 10;
  words[at + 11] = sequence + 11;
  words[at + 12] = sequence + 12;
  words[at + 13] = sequence + 13;
  words[at + 14] = sequence + 14;
  words[at + 15] = sequence + 15;
}

/** Reads all 64 bytes: their sum is 16 * sequence + (0 + 1 + ... + 15). */
export function smallIsRight(words: Int32Array, at: number, sequence: number): boolean {
  let sum = (words[at]! + words[at + 1]! + words[at + 2]! + words[at + 3]!) | 0;
  sum = (sum + words[at + 4]! + words[at + 5]! + words[at + 6]! + words[at + 7]!) | 0;
  sum = (sum + words[at + 8]! + words[at + 9]! + words[at + 10]! + words[at + 11]!) | 0;
  sum = (sum + words[at + 12]! + words[at + 13]! + words[at + 14]! + words[at + 15]!) | 0;
  return sum === ((Math.imul(sequence, 16) + 120) | 0);
}

/** 64 KiB of pseudo-random words; sequence numbers go into the first and the last one. */
export function makeLarge(): Int32Array {
  return Int32Array.from({ length: largeWords }, (_, w) => Math.imul(w, 2654435761 | 0));
}

export function stampLarge(words: Int32Array, at: number, sequence: number): void {
  words[at] = sequence;
  words[at + largeWords - 1] = sequence;
}

/** Of word 0 of every cache line but the first. */
function lineSum(words: Int32Array, at: number): number {
  let sum = 0;
  for (let w = at + lineWords, end = at + largeWords; w < end; w += lineWords) sum = (sum + words[w]!) | 0;
  return sum;
}

const rightSum = lineSum(makeLarge(), 0);

/** In place: loads a word of every cache line. Copied: the copy has read every byte, so the two stamps are enough. */
export function largeIsRight(words: Int32Array, at: number, sequence: number, copied: boolean): boolean {
  if (words[at] !== sequence || words[at + largeWords - 1] !== sequence) return false;
  return copied || lineSum(words, at) === rightSum;
}
