/** A set of slots in shared memory, a bit each in 8 words. Every change is one atomic instruction. */
export class SlotSet {
  readonly #words: Int32Array;
  readonly #at: number;

  constructor(words: Int32Array, at: number) {
    this.#words = words;
    this.#at = at;
  }

  /** Adds; whether it was not in it. */
  add(slot: number): boolean {
    const bit = 1 << (slot & 31);
    return (Atomics.or(this.#words, this.#at + (slot >> 5), bit) & bit) === 0;
  }

  /** Takes out; whether it was in it. */
  delete(slot: number): boolean {
    const bit = 1 << (slot & 31);
    return (Atomics.and(this.#words, this.#at + (slot >> 5), ~bit) & bit) !== 0;
  }

  has(slot: number): boolean {
    return (Atomics.load(this.#words, this.#at + (slot >> 5)) & (1 << (slot & 31))) !== 0;
  }

  get empty(): boolean {
    for (let w = 0; w < 8; w++) if (Atomics.load(this.#words, this.#at + w) !== 0) return false;
    return true;
  }

  /** The first slot after `after`, going round, that `accept` takes; -1: none. */
  #scan(after: number, accept: (slot: number) => boolean): number {
    for (let n = 0; n <= 8; n++) {
      const w = ((after >> 5) + n) & 7;
      let bits = Atomics.load(this.#words, this.#at + w);
      // Of the word that `after` is in, first what is above it and, last of all, the rest.
      const above = (after & 31) === 31 ? 0 : -1 << ((after & 31) + 1);
      if (n === 0) bits &= above;
      if (n === 8) bits &= ~above;
      for (; bits !== 0; bits &= bits - 1) {
        const slot = w * 32 + 31 - Math.clz32(bits & -bits);
        if (accept(slot)) return slot;
      }
    }
    return -1;
  }

  /**
   * A slot in the set that `wanted` accepts; -1: none. Its bit is looked at again after `wanted` accepted it: what an earlier holder
   * of the slot left there is swept before a new one counts as here (Lives.begin).
   */
  find(wanted: (slot: number) => boolean): number {
    return this.#scan(255, (slot) => wanted(slot) && this.has(slot));
  }

  /** Takes out the next slot after `after` that `wanted` accepts; -1: none. No two callers get the same one. */
  take(after: number, wanted: (slot: number) => boolean): number {
    return this.#scan(after, (slot) => wanted(slot) && this.delete(slot));
  }
}
