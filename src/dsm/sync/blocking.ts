import { IvshmemError } from '../../errors/index.ts';
import { SyncObject } from './object.ts';

/** How long to wait: until aborted (the promise rejects with the signal's reason), or for `timeout` milliseconds. */
export interface WaitOptions {
  readonly signal?: AbortSignal;
  readonly timeout?: number;
}

/** How long a thread is blocked at most, milliseconds. */
export interface BlockOptions {
  readonly timeout?: number;
}

interface Waiter {
  /** Takes what is waited for; undefined: not yet. */
  readonly attempt: () => unknown;
  readonly given: (value: unknown) => void;
  readonly refused: (error: unknown) => void;
  readonly withdraw: Withdraw | undefined;
}

/** Called when a waiter gives up, with whether it was the first: undoes what it began. What it returns, if not undefined, is had after all. */
export type Withdraw = (first: boolean) => unknown;

/** A blocked thread looks again so often without being woken, milliseconds: also the time in which terminate() of a worker ends it. */
const SLICE_MS = 100;
/** Looks in a row before the rest of the event loop has its turn. */
const LOOKS = 100;

/**
 * Waits of one process for one object: first come, first served. To the others they are one bit in the set of waiters.
 *
 * No wake-up is lost: whoever waits sets its bit and then looks at the state again (`mark`); whoever changes the state then
 * takes a bit and notifies its member, whose `service` looks at the state and, if it has to wait on, sets the bit again. All
 * these are sequentially consistent. A death between two steps is a leave, upon which every member looks again at all it waits
 * for. `test/dsm/sync/` has something else happen, or the member die, at each access.
 */
export abstract class Blocking extends SyncObject {
  readonly #queue: Waiter[] = [];
  #fetching = false;
  /** First come, first served; else everybody gets what is there, and attempts have to be without effect. */
  protected readonly ordered: boolean = true;

  protected get waiting(): number {
    return this.#queue.length;
  }

  /**
   * Called after the waiter bit was set: makes sure that whoever changes the state next looks at the bits. False when it has
   * changed already.
   */
  protected abstract mark(): boolean;

  /**
   * Nobody waits here any more, and this member had been chosen to be woken: if there is still something to be had, another should
   * be. `gaveUp`: the last who waited did not get it.
   */
  protected abstract passOn(gaveUp: boolean): void;

  /**
   * Resolves with what `attempt` gives, or undefined after the timeout. What others stored before they let go of it is loaded from then on; if
   * that cannot be, `giveBack` gets it, and the promise rejects.
   */
  protected block<T>(
    attempt: () => T | undefined,
    options?: WaitOptions,
    { withdraw, giveBack }: { readonly withdraw?: Withdraw; readonly giveBack?: (value: T) => void } = {},
  ): Promise<T | undefined> {
    const had = this.had(attempt, options, withdraw);
    return this.around.exchange.needed ? this.#acquiring(had, giveBack) : had;
  }

  async #acquiring<T>(
    had: Promise<T | undefined>,
    giveBack: (value: T) => void = () => {},
  ): Promise<T | undefined> {
    const value = await had;
    if (value === undefined) return undefined;
    try {
      await this.around.exchange.acquire();
    } catch (error) {
      if (this.around.open) giveBack(value);
      throw error;
    }
    return value;
  }

  /** block(), of what says nothing of stores. */
  protected had<T>(
    attempt: () => T | undefined,
    options?: WaitOptions,
    withdraw?: Withdraw,
  ): Promise<T | undefined> {
    const signal = options?.signal;
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise<T | undefined>((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const settled = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', aborted);
      };
      const waiter: Waiter = {
        attempt,
        withdraw,
        given: (value) => {
          settled();
          resolve(value as T);
        },
        refused: (error) => {
          settled();
          reject(error);
        },
      };
      const aborted = (): void => this.#giveUp(waiter, () => waiter.refused(signal?.reason));
      signal?.addEventListener('abort', aborted);
      if (options?.timeout !== undefined)
        timer = setTimeout(() => this.#giveUp(waiter, () => waiter.given(undefined)), options.timeout);
      this.#queue.push(waiter);
      this.around.waits(this, true);
      if (!this.ordered || this.#queue.length === 1) this.service();
    });
  }

  /**
   * As block(), but it is this thread that waits, ahead of what waits in it with promises: they cannot go on meanwhile. `begun` is called
   * when the thread is in the set of waiters.
   */
  protected blockSync<T>(
    attempt: () => T | undefined,
    options?: BlockOptions,
    withdraw?: Withdraw,
    begun?: () => void,
  ): T | undefined {
    let outcome: { readonly value?: unknown; readonly error?: unknown } | undefined;
    const waiter: Waiter = {
      attempt,
      withdraw,
      given: (value) => {
        outcome ??= { value };
      },
      refused: (error) => {
        outcome ??= { error };
      },
    };
    const deadline = performance.now() + (options?.timeout ?? Number.POSITIVE_INFINITY);
    this.#queue.unshift(waiter);
    this.around.waits(this, true);
    this.service();
    try {
      begun?.();
    } catch (error) {
      this.#giveUp(waiter, () => waiter.given(undefined));
      throw error;
    }
    while (outcome === undefined) {
      const left = deadline - performance.now();
      if (left > 0) {
        this.around.sleep(Math.min(left, SLICE_MS));
        this.service();
      } else this.#giveUp(waiter, () => waiter.given(undefined));
    }
    if ('error' in outcome) throw outcome.error;
    return outcome.value as T | undefined;
  }

  /** For what takes no part of `block`: this thread may be blocked, and the space is open. */
  protected requireBlocking(): void {
    this.requireOpen();
    this.around.requireBlocking(this.kind, this.name);
  }

  /** This thread would wait for itself. */
  protected selfish(): IvshmemError {
    return new IvshmemError('ERR_IVSHMEM_SYNC_ITSELF', { kind: this.kind, name: this.name });
  }

  override service(): void {
    if (this.resident) {
      this.#service();
      return;
    }
    if (this.#fetching || this.#waitsOn()) return;
    this.#fetching = true;
    void this.present(() => this.#service())
      .catch((error: Error) => this.abandon(error))
      .finally(() => {
        this.#fetching = false;
      });
  }

  /**
   * Whether a copy to read shows that nothing is to be had, and that whoever changes this looks at the bits: a page that is taken to
   * write for that is nobody else's any more, and lost if this host dies.
   */
  #waitsOn(): boolean {
    if (this.#queue.length === 0 || !this.around.readable(this.at)) return false;
    return this.waiters.has(this.lives.slot) && this.mark();
  }

  #service(): void {
    try {
      for (let looks = 0; this.#queue.length > 0; looks++) {
        // A state that others change all the time, or a member that writes nonsense.
        if (looks === LOOKS) {
          setImmediate(() => this.around.open && this.service());
          return;
        }
        if (this.#serve()) continue;
        this.waiters.add(this.lives.slot);
        if (this.mark()) return;
      }
      this.around.waits(this, false);
      if (!this.waiters.delete(this.lives.slot)) this.passOn(false);
    } catch (error) {
      this.abandon(this.around.open ? (error as Error) : this.closed(error));
    }
  }

  /** Gives what is to be had; whether that was anything. */
  #serve(): boolean {
    let served = 0;
    for (let n = 0; n < (this.ordered ? 1 : this.#queue.length); ) {
      const waiter = this.#queue[n]!;
      const value = waiter.attempt();
      if (value === undefined) {
        n++;
        continue;
      }
      this.requireIntact();
      this.#queue.splice(n, 1);
      waiter.given(value);
      served++;
      if (this.#queue.length === 0) break;
    }
    return served > 0;
  }

  /** Whether somebody who waits could go on. */
  protected ready(): boolean {
    return this.#queue.some((waiter) => waiter.attempt() !== undefined);
  }

  override abandon(error: Error): void {
    for (const waiter of this.#queue.splice(0)) waiter.refused(error);
    this.around.waits(this, false);
  }

  #giveUp(waiter: Waiter, settle: () => void): void {
    const place = this.#queue.indexOf(waiter);
    if (place < 0) return;
    this.#queue.splice(place, 1);
    try {
      const value = waiter.withdraw?.(place === 0);
      if (value === undefined) settle();
      else waiter.given(value);
      if (this.#queue.length > 0) this.service();
      else if (this.waiters.delete(this.lives.slot)) this.around.waits(this, false);
      // Else it was chosen just now, and is being notified: it looks once more then, in case it is handed what it gave up.
      else this.passOn(true);
    } catch (error) {
      const fault = this.around.open ? (error as Error) : this.closed(error);
      waiter.refused(fault); // without effect when it was settled
      this.abandon(fault);
    }
  }
}
