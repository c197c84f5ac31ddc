/** The longest time between two replies. */
export interface Gap {
  readonly ms: number;
  /** How many replies there were. */
  readonly replies: number;
}

/** Stamps of replies, nanoseconds, in the order they came. */
export class Gaps {
  readonly #stamps: number[] = [];

  add(at: number): void {
    this.#stamps.push(at);
  }

  /**
   * The longest time without a reply between `from` and `end`; that before the first reply counts, and that after the last.
   * @throws Error without replies: then nothing was measured.
   */
  longest(from: number, end: number): Gap {
    const inside = this.#stamps.filter((at) => at > from && at <= end);
    if (inside.length === 0) throw new Error('there was no reply');
    let longest = 0;
    let before = from;
    for (const at of [...inside, end]) {
      longest = Math.max(longest, at - before);
      before = at;
    }
    return { ms: longest / 1e6, replies: inside.length };
  }
}
