/** A lock that is held, until release() or the end of a `using` block. */
export class Held {
  /**
   * Whether the last owner died with it, so that what it protects may be half changed. Whoever gets such a lock should
   * look, and repair.
   */
  readonly abandoned: boolean;
  #release: (() => void) | undefined;

  constructor(abandoned: boolean, release: () => void) {
    this.abandoned = abandoned;
    this.#release = release;
  }

  get released(): boolean {
    return this.#release === undefined;
  }

  /** Once; again it does nothing. */
  release(): void {
    const release = this.#release;
    this.#release = undefined;
    release?.();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
