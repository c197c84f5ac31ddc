import { CONTROL_BIT, PAGE_BYTES } from '../../memory/layout.ts';
import { post } from '../../memory/pending.ts';
import type { ThreadSeat } from '../../native/thread-binding.ts';
import { aliveIn } from '../attached-party.ts';
import type { Party } from '../party.ts';
import type { Threads } from '../sync/synchronization.ts';
import type { SpaceShare } from './share.ts';

/** How long a thread sleeps between two looks where nobody can ring it, milliseconds. */
const POLL_MS = 1;

/** A thread that takes part in a space by a seat of its own, beside the member whose process it is in. */
export class ThreadParty implements Party, Threads {
  readonly slot: number;
  /** Of no meaning: a thread is here with its member. */
  readonly epoch = 0;
  readonly sleep: ((ms: number) => void) | null;
  readonly #share: SpaceShare;
  readonly #words: Int32Array;
  readonly #native: ThreadSeat;
  readonly #callbacks = new Set<() => void>();

  /** `tables`: what the region keeps before its heap. */
  constructor(share: SpaceShare, seat: number, tables: ArrayBuffer, native: ThreadSeat, mayBlock: boolean) {
    this.#share = share;
    this.slot = seat;
    this.#words = new Int32Array(tables);
    this.#native = native;
    this.sleep = mayBlock ? (ms) => this.#wait(ms) : null;
  }

  alive(slot: number, epoch: number): boolean {
    return aliveIn(this.#words, this.#share, slot, epoch);
  }

  notify(slot: number, urgent = false): void {
    const { slots, memberPage } = this.#share;
    if (!(slot > 0 && slot < slots) || this.#words.length === 0) return;
    const asleep = post(this.#words, ((memberPage + slot) * PAGE_BYTES) / 4, CONTROL_BIT);
    if (asleep || urgent) this.#native.ring(slot);
  }

  wake(slot: number): void {
    if (slot === this.#share.slot) this.#native.wakeHome();
    else this.#native.wake(slot);
  }

  onWake(callback: () => void): () => void {
    this.#callbacks.add(callback);
    return () => void this.#callbacks.delete(callback);
  }

  #wait(ms: number): void {
    this.#native.wait(this.#share.polled ? POLL_MS : Math.ceil(ms));
    // The event loop has to hear of the end too, which the wait has taken from it.
    if (this.#native.over()) this.#native.wake(this.slot);
  }

  /** This thread was woken. */
  woken(): void {
    for (const callback of [...this.#callbacks]) callback();
  }
}
