import { isIvshmemError } from '../../errors/index.ts';

/**
 * What members of several hosts owe each other when they synchronize, in a space whose stores are not seen at once
 * (docs/decisions/release-consistency.md). Who lets go of something releases before, who got hold of something acquires after.
 *
 * Each rejects, or throws, with ERR_IVSHMEM_PAGES_LOST when stores that were not released yet are gone with another host: it was done
 * otherwise. After any other error nothing is known of what others see.
 */
export interface Exchange {
  /** False: every store is seen as it is made, and there is nothing to do. */
  readonly needed: boolean;
  /** What was stored on this host is what those see who acquire from now on. */
  release(): Promise<void>;
  /** What others have released is what is loaded from now on. */
  acquire(): Promise<void>;
  /** release(), for what takes no part of promises: blocks this thread. */
  releaseNow(): void;
  /** acquire(), likewise. */
  acquireNow(): void;
}

export const NO_EXCHANGE: Exchange = {
  needed: false,
  release: () => Promise.resolve(),
  acquire: () => Promise.resolve(),
  releaseNow() {},
  acquireNow() {},
};

/** An exchange after whose failure this member takes no part any more: `failed` hears why. */
export class GuardedExchange implements Exchange {
  readonly needed: boolean;
  readonly #exchange: Exchange;
  readonly #failed: (cause: Error) => void;

  constructor(exchange: Exchange, failed: (cause: Error) => void) {
    this.needed = exchange.needed;
    this.#exchange = exchange;
    this.#failed = failed;
  }

  release(): Promise<void> {
    return this.#exchange.release().catch((error: Error) => this.#refused(error));
  }

  acquire(): Promise<void> {
    return this.#exchange.acquire().catch((error: Error) => this.#refused(error));
  }

  releaseNow(): void {
    this.#now(() => this.#exchange.releaseNow());
  }

  acquireNow(): void {
    this.#now(() => this.#exchange.acquireNow());
  }

  #now(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#refused(error as Error);
    }
  }

  #refused(error: Error): never {
    if (!isIvshmemError(error, 'ERR_IVSHMEM_PAGES_LOST')) this.#failed(error);
    throw error;
  }
}
