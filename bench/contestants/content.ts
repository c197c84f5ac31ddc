/** What the messages hold and how it is checked: the same in every contestant (native/packed_rate.c, native/copy.c). */
export const smallBytes = 64;
export const largeBytes = 65536;
export const burst = 32;

const smallWords = smallBytes / 4;
export const largeWords = largeBytes / 4;
/** One 32-bit word per 64-byte cache line. */
const lineWords = 16;

/** 64 bytes: word w holds sequence + w. */
export function fillSmall(words: Int32Array, at: number, sequence: number): void {
  for (let w = 0; w < smallWords; w++) words[at + w] = sequence + w;
}

/** Reads all 64 bytes. */
export function smallIsRight(words: Int32Array, at: number, sequence: number): boolean {
  let sum = 0;
  for (let w = 0; w < smallWords; w++) sum = (sum + words[at + w]!) | 0;
  return sum === ((Math.imul(sequence, smallWords) + (smallWords * (smallWords - 1)) / 2) | 0);
}

/** 64 KiB of pseudo-random words; sequence numbers go into the first and the last one. */
export function makeLarge(): Int32Array {
  return Int32Array.from({ length: largeWords }, (_, w) => Math.imul(w, 2654435761 | 0));
}

export function stampLarge(words: Int32Array, sequence: number): void {
  words[0] = sequence;
  words[largeWords - 1] = sequence;
}

/** Of word 0 of every cache line but the first. */
export function lineSum(words: Int32Array): number {
  let sum = 0;
  for (let w = lineWords; w < largeWords; w += lineWords) sum = (sum + words[w]!) | 0;
  return sum;
}

const rightSum = lineSum(makeLarge());

/** In place: loads a word of every cache line. Copied: the copy has read every byte, so the two stamps are enough. */
export function largeIsRight(words: Int32Array, sequence: number, copied: boolean): boolean {
  if (words[0] !== sequence || words[largeWords - 1] !== sequence) return false;
  return copied || lineSum(words) === rightSum;
}
