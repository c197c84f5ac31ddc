/** What may happen `burst` times at once, and `perSecond` times a second in the long run. */
export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

/** Counts down what happens and back up with time; it has no timer. Times are milliseconds of performance.now(). */
export class TokenBucket {
  readonly #rate: Rate;
  #tokens: number;
  #since: number;

  constructor(rate: Rate, now: number) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#since = now;
  }

  /** Takes one, if need be of those that are still to come: it never goes below one owed. */
  take(now: number): void {
    this.#fill(now);
    this.#tokens = Math.max(this.#tokens - 1, -1);
  }

  /** Milliseconds until there is one; 0: now. */
  wait(now: number): number {
    this.#fill(now);
    return this.#tokens >= 1 ? 0 : ((1 - this.#tokens) * 1000) / this.#rate.perSecond;
  }

  /** As good as new. */
  isFull(now: number): boolean {
    this.#fill(now);
    return this.#tokens >= this.#rate.burst;
  }

  #fill(now: number): void {
    const more = ((now - this.#since) * this.#rate.perSecond) / 1000;
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + more);
    this.#since = now;
  }
}
