import { IvshmemError } from '../../errors/index.ts';
import { Blocking, type BlockOptions, type WaitOptions } from './blocking.ts';
import { type Kind, WAITED } from './layout.ts';

export const MOST_PERMITS = 2 ** 30 - 1;

/**
 * Permits: release() adds some, acquire() takes one. It has no owner: who takes a permit need not be who gives it, so what a dead
 * member took stays taken. Its state is permits << 1, with WAITED when somebody may wait.
 */
export class Semaphore extends Blocking {
  override readonly kind: Kind = 'semaphore';

  /** Permits that can be taken now. */
  get value(): number {
    this.requireOpen();
    const permits = Atomics.load(this.words, this.state) >>> 1;
    this.requireIntact();
    return permits;
  }

  tryAcquire(): boolean {
    this.requireOpen();
    const taken = this.#take() === true;
    this.requireIntact();
    if (taken) this.acquired(() => this.release());
    return taken;
  }

  /** Waits for a permit: true; false when there was none within `timeout`. */
  async acquire(options?: WaitOptions): Promise<boolean> {
    options?.signal?.throwIfAborted();
    if (this.waiting === 0 && this.immediate && this.tryAcquire()) return true;
    this.requireOpen();
    const taken = this.block(() => this.#take(), options, { giveBack: () => this.release() });
    return (await taken) ?? false;
  }

  /** acquire(), for a thread that attached the space: blocks it. Errors: ERR_IVSHMEM_SYNC_BLOCKS. */
  acquireSync(options?: BlockOptions): boolean {
    this.requireBlocking();
    return this.tryAcquire() || (this.blockSync(() => this.#take(), options) ?? false);
  }

  /** Adds permits. Errors: ERR_IVSHMEM_SYNC_PARAMETER for a number that is not one, or more than 2^30 - 1 in all. */
  release(permits = 1): void {
    this.requireOpen();
    this.releasing(() => this.#give(permits));
  }

  #give(permits: number): void {
    const { words, state } = this;
    for (;;) {
      const word = Atomics.load(words, state);
      const sum = (word >>> 1) + permits;
      if (!Number.isInteger(permits) || permits < 1 || sum > MOST_PERMITS)
        throw new IvshmemError('ERR_IVSHMEM_SYNC_PARAMETER', {
          kind: this.kind,
          name: this.name,
          parameter: 'permits to release',
          found: permits,
          wanted: `a whole number from 1, so that there are at most ${MOST_PERMITS}`,
        });
      const next = (sum << 1) | (word & WAITED);
      if (Atomics.compareExchange(words, state, word, next) !== word) continue;
      if ((word & WAITED) !== 0) this.#wake(permits);
      return;
    }
  }

  #take(): true | undefined {
    const { words, state } = this;
    for (;;) {
      const word = Atomics.load(words, state);
      if (word >>> 1 === 0) return undefined;
      if (Atomics.compareExchange(words, state, word, (word - 2) | 0) === word) return true;
    }
  }

  #wake(permits: number): void {
    // More members than there are slots cannot wait.
    for (let n = Math.min(permits, 256); n > 0; n--) if (this.wakeOne() < 0) break;
    if (!this.waiters.empty) return;
    Atomics.and(this.words, this.state, ~WAITED);
    if (this.waiters.empty) return;
    // Somebody came between the two: it relied on the flag, and a release meanwhile has not looked.
    Atomics.or(this.words, this.state, WAITED);
    this.passOn();
  }

  protected override mark(): boolean {
    const { words, state } = this;
    for (;;) {
      const word = Atomics.load(words, state);
      if (word >>> 1 !== 0) return false;
      if ((word & WAITED) !== 0) return true;
      if (Atomics.compareExchange(words, state, word, word | WAITED) === word) return true;
    }
  }

  protected override passOn(): void {
    if (Atomics.load(this.words, this.state) >>> 1 !== 0) this.wakeOne();
  }
}
