import { IvshmemError } from '../../errors/index.ts';
import { binding } from '../../native/binding.ts';
import type { Lives } from '../sync/lives.ts';

/**
 * How long another member may hold the heap before we say so, milliseconds. A change takes microseconds; but the server has to notice
 * that its owner died, on a machine that may be overloaded.
 */
export const PATIENCE_MS = 5000;
const SPINS = 200;

/**
 * The lock of a heap: held for one change, never across anything that waits, and so worth spinning for. A word with the owner's
 * token; what a dead owner held is taken.
 */
export class HeapLock {
  readonly #words: Int32Array;
  readonly #word: number;
  readonly #lives: Lives;
  readonly #patienceMs: number;

  constructor(words: Int32Array, word: number, lives: Lives, patienceMs: number) {
    this.#words = words;
    this.#word = word;
    this.#lives = lives;
    this.#patienceMs = patienceMs;
  }

  /** Errors: ERR_IVSHMEM_HEAP_BUSY when its owner is alive and stands still. */
  take(operation: string): void {
    const { token } = this.#lives;
    // Acquire: pairs with the release in give().
    if (Atomics.compareExchange(this.#words, this.#word, 0, token) !== 0) this.#wait(operation, token);
  }

  give(): void {
    Atomics.compareExchange(this.#words, this.#word, this.#lives.token, 0);
  }

  #wait(operation: string, token: number): void {
    const begun = performance.now();
    for (let spins = 0; ; spins++) {
      const owner = Atomics.load(this.#words, this.#word);
      // Our own token is here when an exception came between take and give: nobody else can have left it.
      if (owner === 0 || owner === token || !this.#lives.alive(owner)) {
        if (Atomics.compareExchange(this.#words, this.#word, owner, token) === owner) return;
        continue;
      }
      if (spins < SPINS) continue;
      binding.yieldProcessor();
      const waited = Math.floor(performance.now() - begun);
      if (waited > this.#patienceMs)
        throw new IvshmemError('ERR_IVSHMEM_HEAP_BUSY', { operation, slot: owner >>> 24, waited });
    }
  }
}
