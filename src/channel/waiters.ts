import type { ChannelHost } from './channel-host.ts';

/** Those who wait on a channel for one thing, a message or room. The region's waiter runs while there are any. */
export class Waiters {
  /** How many wait and have not been woken. */
  count = 0;
  readonly #host: ChannelHost;
  #wakes: (() => void)[] = [];

  constructor(host: ChannelHost) {
    this.#host = host;
  }

  /** Resolves at the next `wakeAll`, which may be for nothing: look again. */
  wait(): Promise<void> {
    this.#host.waiting(1);
    return new Promise<void>((resolve) => {
      this.count = this.#wakes.push(resolve);
    }).finally(() => this.#host.waiting(-1));
  }

  wakeAll(): void {
    if (this.count === 0) return;
    const wakes = this.#wakes;
    this.#wakes = [];
    this.count = 0;
    for (const wake of wakes) wake();
  }
}
