import type { SpaceMemory } from '../party.ts';
import { LIFE_W, LIFE_WORDS, LIVES_W, SITTING_DOWN } from './layout.ts';

const MOST_LIVES = 0x7ffffe;

/**
 * Who has the space open, so that a word can name its owner for ever: a token is slot << 24 | life << 1, and `life` is counted
 * up each time somebody opens the space in that slot. A token whose life is over belongs to somebody who died or closed
 * the space. The lowest bit is free for a flag; 0 is nobody, because slot 0 is the server's.
 *
 * Only whoever holds a slot writes its four words. Loads and stores are sequentially consistent.
 *
 * A thread that uses the space beside the member's own has a seat, a number that is no slot, and a life there: it is here for as long as its
 * member is, or until its end.
 */
export class Lives {
  readonly #words: Int32Array;
  readonly #memory: SpaceMemory;
  readonly #mine: number;
  #token = 0;

  constructor(words: Int32Array, memory: SpaceMemory) {
    this.#words = words;
    this.#memory = memory;
    this.#mine = LIVES_W + memory.party.slot * LIFE_WORDS;
  }

  /** Of this member; changes at no time while the space is open. */
  get token(): number {
    return this.#token;
  }

  /** Whether the memory says that this member is here. */
  get present(): boolean {
    return Atomics.load(this.#words, this.#mine + LIFE_W.present) === 1;
  }

  get slot(): number {
    return this.#memory.party.slot;
  }

  /** The slot of the member whose thread has a seat; what is a slot already stays what it is. */
  memberOf(slot: number): number {
    const owner = Atomics.load(this.#words, LIVES_W + slot * LIFE_WORDS + LIFE_W.owner);
    return owner === 0 ? slot : owner >>> 24;
  }

  /**
   * Begins a life. `sweep` takes away what an earlier holder of the slot left; meanwhile the slot counts as empty, so
   * that nobody mistakes what is left for this member's.
   */
  begin(sweep: () => void): void {
    const words = this.#words;
    Atomics.store(words, this.#mine + LIFE_W.present, 0);
    sweep();
    const life = ((Atomics.load(words, this.#mine + LIFE_W.life) & 0x7fffff) % MOST_LIVES) + 1;
    // Life before epoch: whoever reads the new epoch for an old life finds, looking again, that it is over.
    Atomics.store(words, this.#mine + LIFE_W.life, life);
    Atomics.store(words, this.#mine + LIFE_W.epoch, this.#memory.party.epoch | 0);
    Atomics.store(words, this.#mine + LIFE_W.present, 1);
    this.#token = (this.slot << 24) | (life << 1);
  }

  /** Ends it: what this member owns counts as left behind from here on. */
  end(): void {
    Atomics.store(this.#words, this.#mine + LIFE_W.present, 0);
  }

  /** Whether whoever a word names (its lowest bit does not matter) still has the space open. */
  alive(word: number): boolean {
    return this.#here(word >>> 24, (word >>> 1) & 0x7fffff);
  }

  /** The token of whoever has the space open in a slot; 0 for nobody. */
  tokenOf(slot: number): number {
    const life = Atomics.load(this.#words, LIVES_W + slot * LIFE_WORDS + LIFE_W.life) & 0x7fffff;
    return this.#here(slot, life) ? (slot << 24) | (life << 1) : 0;
  }

  #here(slot: number, life: number): boolean {
    const words = this.#words;
    const at = LIVES_W + slot * LIFE_WORDS;
    if (life === 0 || Atomics.load(words, at + LIFE_W.life) !== life) return false;
    if (Atomics.load(words, at + LIFE_W.present) !== 1) return false;
    const owner = Atomics.load(words, at + LIFE_W.owner);
    if ((owner & SITTING_DOWN) !== 0) return false;
    const epoch = Atomics.load(words, at + LIFE_W.epoch);
    const here = owner === 0 ? this.#memory.party.alive(slot, epoch >>> 0) : this.#memberHere(owner);
    return here && Atomics.load(words, at + LIFE_W.life) === life; // see begin()
  }

  #memberHere(owner: number): boolean {
    // A thread belongs to a member, whatever the memory says: never to another thread.
    const beyond = Atomics.load(this.#words, LIVES_W + (owner >>> 24) * LIFE_WORDS + LIFE_W.owner);
    return beyond === 0 && this.alive(owner);
  }
}
