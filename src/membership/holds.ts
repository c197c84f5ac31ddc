/** Waits of one kind, and whether they keep the process alive. */
export class Holds {
  readonly #waiting: (change: 1 | -1) => void;
  #waits = 0;
  #held = true;

  /** `waiting` counts what keeps the process alive. */
  constructor(waiting: (change: 1 | -1) => void) {
    this.#waiting = waiting;
  }

  /** A wait begins or is over. */
  readonly wait = (change: 1 | -1): void => {
    this.#waits += change;
    if (this.#held) this.#waiting(change);
  };

  /** From now on no wait keeps the process alive. Idempotent. */
  unref(): void {
    if (!this.#held) return;
    this.#held = false;
    for (let i = 0; i < this.#waits; i++) this.#waiting(-1);
  }
}
