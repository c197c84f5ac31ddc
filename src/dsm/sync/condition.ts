import { IvshmemError } from '../../errors/index.ts';
import { Blocking, type BlockOptions, type WaitOptions } from './blocking.ts';
import type { Kind } from './layout.ts';
import type { Mutex } from './mutex.ts';

/**
 * Waits for something to become true that a mutex protects:
 *
 *     const held = await mutex.lock();
 *     while (queueIsEmpty()) await condition.wait(mutex);
 *
 * As everywhere, a wake-up promises nothing: one can come without a notify, so look again. The state counts notifications. A notifier
 * takes a bit and then counts; a waiter reads the count and then sets its bit: whoever was chosen sees a new count.
 */
export class Condition extends Blocking {
  override readonly kind: Kind = 'condition';
  protected override readonly ordered = false;

  /**
   * Gives the mutex, which this task holds, back, waits to be notified and takes the mutex again. It is held afterwards
   * whatever happened, by the same Held; not when what it protects is lost with a host (ERR_IVSHMEM_PAGES_LOST). True when woken, false
   * after the timeout; an abort rejects with its reason. `mutex.abandoned` says whether somebody died with it meanwhile.
   */
  async wait(mutex: Mutex, options?: WaitOptions): Promise<boolean> {
    options?.signal?.throwIfAborted();
    this.requireOpen();
    if (!mutex.held)
      throw new IvshmemError('ERR_IVSHMEM_SYNC_NOT_HELD', { kind: mutex.kind, name: mutex.name });
    // What unlock() would make the event loop wait for.
    await this.around.exchange.release();
    options?.signal?.throwIfAborted();
    const seen = Atomics.load(this.words, this.state);
    // With the mutex held the waiter is in the set: whoever has the mutex next, and notifies, finds it there.
    // It is the mutex that says what was stored.
    let parted = false;
    const woken = this.had(
      () => (parted || Atomics.load(this.words, this.state) !== seen ? true : undefined),
      options,
    ).then(
      (value) => ({ value: value ?? false }),
      (error: unknown) => ({ error }),
    );
    try {
      mutex.unlock();
    } catch (error) {
      // Nobody waits here any more: a notification is for others.
      parted = true;
      this.service();
      throw error;
    }
    const outcome = await woken;
    await mutex.lock();
    if ('error' in outcome) throw outcome.error;
    return outcome.value;
  }

  /** wait(), for a thread that attached the space: blocks it, also until it has the mutex again. Errors: ERR_IVSHMEM_SYNC_BLOCKS. */
  waitSync(mutex: Mutex, options?: BlockOptions): boolean {
    this.requireBlocking();
    if (!mutex.held)
      throw new IvshmemError('ERR_IVSHMEM_SYNC_NOT_HELD', { kind: mutex.kind, name: mutex.name });
    const seen = Atomics.load(this.words, this.state);
    const woken = this.blockSync(
      () => (Atomics.load(this.words, this.state) !== seen ? true : undefined),
      options,
      undefined,
      () => mutex.unlock(),
    );
    mutex.lockSync();
    return woken ?? false;
  }

  /** Wakes one member that waits. */
  notify(): void {
    this.requireOpen();
    this.releasing(() => this.#notify());
  }

  #notify(): void {
    const slot = this.waiters.take(this.lives.slot, this.here);
    if (slot < 0) return;
    Atomics.add(this.words, this.state, 1);
    this.wake(slot);
  }

  /** Wakes all that wait. */
  notifyAll(): void {
    this.requireOpen();
    this.releasing(() => this.#notifyAll());
  }

  #notifyAll(): void {
    const slots: number[] = [];
    for (let n = 0; n < 256; n++) {
      const slot = this.waiters.take(this.lives.slot, this.here);
      if (slot < 0) break;
      slots.push(slot);
    }
    if (slots.length === 0) return;
    Atomics.add(this.words, this.state, 1);
    for (const slot of slots) this.wake(slot);
  }

  // Looking again is the attempt's business: a count that changed since is a wake-up.
  protected override mark(): boolean {
    return !this.ready();
  }

  protected override passOn(gaveUp: boolean): void {
    if (!gaveUp) return;
    this.requireOpen();
    this.#notify();
  }
}
