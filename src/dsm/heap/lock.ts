import { setTimeout as sleep } from 'node:timers/promises';
import { IvshmemError } from '../../errors/index.ts';
import { binding } from '../../native/binding.ts';
import type { WaitOptions } from '../sync/blocking.ts';
import type { Lives } from '../sync/lives.ts';

/**
 * How long a change of the heap may stand in the way of this process's event loop because another member has the heap, milliseconds. A
 * change takes microseconds; but its owner may be without a processor, on a machine that is overloaded.
 */
export const PATIENCE_MS = 1000;
/** The same, when that owner was waited for in vain before. */
const SHORT_MS = 5;
const SPINS = 200;
/** So long it may be worth giving the processor away and coming back at once. */
const YIELDING_MS = 2;
/** How often whenFree() looks, milliseconds. */
const LOOK_MS = 10;

/** Nobody wakes it: for sleeping where nothing can be awaited. */
const pillow = new Int32Array(new SharedArrayBuffer(4));

/**
 * The lock of a heap: held for one change, never across anything that waits, and so worth spinning for. A word with the owner's
 * token; what a dead owner held is taken.
 */
export class HeapLock {
  readonly #words: Int32Array;
  readonly #word: number;
  readonly #lives: Lives;
  readonly #patienceMs: number;
  /** The owner that was waited for in vain; 0: none. */
  #stood = 0;

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

  /** True when nobody who lives has it, false after the timeout. The event loop goes on meanwhile. */
  async whenFree({ timeout = Number.POSITIVE_INFINITY, signal }: WaitOptions): Promise<boolean> {
    signal?.throwIfAborted();
    const deadline = performance.now() + timeout;
    while (this.#stands(this.#owner())) {
      const left = deadline - performance.now();
      if (left <= 0) return false;
      await sleep(Math.min(LOOK_MS, left), undefined, { signal }).catch((error: unknown) => {
        throw signal?.reason ?? error;
      });
    }
    return true;
  }

  #owner(): number {
    if (this.#words.length === 0)
      throw new IvshmemError('ERR_IVSHMEM_SYNC_CLOSED', { kind: 'heap', name: 'heap' });
    return Atomics.load(this.#words, this.#word);
  }

  /** Our own token is here when an exception came between take and give: nobody else can have left it. */
  #stands(owner: number): boolean {
    return owner !== 0 && owner !== this.#lives.token && this.#lives.alive(owner);
  }

  #wait(operation: string, token: number): void {
    const begun = performance.now();
    for (let spins = 0; ; spins++) {
      const owner = Atomics.load(this.#words, this.#word);
      if (!this.#stands(owner)) {
        if (Atomics.compareExchange(this.#words, this.#word, owner, token) !== owner) continue;
        this.#stood = 0;
        return;
      }
      if (spins < SPINS) continue;
      const waited = performance.now() - begun;
      if (waited < YIELDING_MS) binding.yieldProcessor();
      else Atomics.wait(pillow, 0, 0, 1);
      if (waited < (owner === this.#stood ? SHORT_MS : this.#patienceMs)) continue;
      this.#stood = owner;
      const slot = owner >>> 24;
      throw new IvshmemError('ERR_IVSHMEM_HEAP_BUSY', { operation, slot, waited: Math.floor(waited) });
    }
  }
}
