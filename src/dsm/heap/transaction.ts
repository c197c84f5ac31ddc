import { HEAP_W, JOURNAL_ENTRIES } from './layout.ts';

/**
 * A change to a heap, made wholly or not at all. Stores are collected, then written into the journal, then the journal's
 * length says that they are decided, then they are made. Who finds a length makes the stores (again): they say what a word
 * becomes, not by how much, so that twice is the same as once.
 */
export class Transaction {
  readonly #words: Int32Array;
  readonly #places = new Int32Array(JOURNAL_ENTRIES);
  readonly #values = new Int32Array(JOURNAL_ENTRIES);
  readonly #publish: () => void;
  #count = 0;

  /** `publish`: what was stored so far is seen by others before what is stored from then on. */
  constructor(words: Int32Array, publish: () => void = () => {}) {
    this.#words = words;
    this.#publish = publish;
  }

  /** Forgets stores that were not decided. */
  begin(): void {
    this.#count = 0;
  }

  get(word: number): number {
    for (let n = this.#count - 1; n >= 0; n--) if (this.#places[n] === word) return this.#values[n]!;
    return this.#words[word]!;
  }

  set(word: number, value: number): void {
    for (let n = 0; n < this.#count; n++) {
      if (this.#places[n] !== word) continue;
      this.#values[n] = value;
      return;
    }
    if (this.#count === JOURNAL_ENTRIES)
      throw new RangeError('a change of the heap is longer than its journal');
    this.#places[this.#count] = word;
    this.#values[this.#count++] = value;
  }

  commit(): void {
    if (this.#count === 0) return;
    const words = this.#words;
    for (let n = 0; n < this.#count; n++) {
      words[HEAP_W.journal + 1 + 2 * n] = this.#places[n]!;
      words[HEAP_W.journal + 2 + 2 * n] = this.#values[n]!;
    }
    // Release: who takes over the heap's lock from a dead owner reads the length, then what is before it.
    Atomics.store(words, HEAP_W.journal, this.#count);
    this.#publish();
    for (let n = 0; n < this.#count; n++) words[this.#places[n]!] = this.#values[n]!;
    this.#publish();
    Atomics.store(words, HEAP_W.journal, 0);
    this.#count = 0;
  }

  /** Makes the stores that somebody decided and may not have made. False when the journal makes no sense. */
  recover(): boolean {
    const words = this.#words;
    const count = Atomics.load(words, HEAP_W.journal);
    if (count === 0) return true;
    if (count < 0 || count > JOURNAL_ENTRIES) return false;
    for (let n = 0; n < count; n++) {
      const place = words[HEAP_W.journal + 1 + 2 * n]!;
      if (place < 0 || place >= words.length) return false;
    }
    for (let n = 0; n < count; n++)
      words[words[HEAP_W.journal + 1 + 2 * n]!] = words[HEAP_W.journal + 2 + 2 * n]!;
    this.#publish();
    Atomics.store(words, HEAP_W.journal, 0);
    return true;
  }
}
