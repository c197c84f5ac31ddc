interface Waiting {
  readonly slot: number;
  readonly settle: () => void;
}

/** Those who wait until a slot has no channels any more. */
export class Drains {
  readonly #count: (slot: number) => number;
  readonly #waiting = new Set<Waiting>();

  /** `count`: channels of a slot now. */
  constructor(count: (slot: number) => number) {
    this.#count = count;
  }

  /** Resolves when the slot has no channels, or after `ms`, with how many it has then. It does not keep the process alive. */
  wait(slot: number, ms: number): Promise<number> {
    return new Promise((resolve) => {
      const settle = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(waiting);
        resolve(this.#count(slot));
      };
      const waiting = { slot, settle };
      const timer = setTimeout(settle, ms).unref();
      this.#waiting.add(waiting);
      if (this.#count(slot) === 0) settle();
    });
  }

  /** To be called after channels may have ended. */
  look(): void {
    for (const { slot, settle } of this.#waiting) if (this.#count(slot) === 0) settle();
  }

  /** Nobody waits any more. */
  close(): void {
    for (const { settle } of this.#waiting) settle();
  }
}
