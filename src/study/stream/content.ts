/** Messages of any size between guests: first and last word hold the sequence number, the rest a pattern of the size. */

const lineWords = 16;

/** The bytes that every message of `bytes` (a multiple of 64) starts from. */
export function makePattern(bytes: number): Int32Array {
  return Int32Array.from({ length: bytes / 4 }, (_, w) => Math.imul(w, 2654435761 | 0));
}

export function stamp(words: Int32Array, at: number, bytes: number, sequence: number): void {
  words[at] = sequence;
  words[at + bytes / 4 - 1] = sequence;
}

/** Copies `pattern` to `at`: a few words one by one, because a call of set() costs more than they do. */
export function fill(words: Int32Array, at: number, pattern: Int32Array): void {
  if (pattern.length > 4 * lineWords) words.set(pattern, at);
  else for (let w = 0; w < pattern.length; w++) words[at + w] = pattern[w]!;
}

/** Checks both stamps and one word of every cache line but the first. */
export class Checker {
  readonly #bytes: number;
  readonly #sum: number;

  constructor(bytes: number) {
    this.#bytes = bytes;
    this.#sum = this.#lineSum(makePattern(bytes), 0);
  }

  isRight(words: Int32Array, at: number, sequence: number): boolean {
    const last = at + this.#bytes / 4 - 1;
    return words[at] === sequence && words[last] === sequence && this.#lineSum(words, at) === this.#sum;
  }

  #lineSum(words: Int32Array, at: number): number {
    let sum = 0;
    for (let w = at + lineWords, end = at + this.#bytes / 4; w < end; w += lineWords)
      sum = (sum + words[w]!) | 0;
    return sum;
  }
}

/** Messages that make one burst: 32, or what 64 KiB hold. */
export function burstOf(bytes: number): number {
  return Math.max(1, Math.min(32, 65536 / bytes));
}
