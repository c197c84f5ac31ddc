/** The longest time between two replies. */
export interface Gap {
  readonly ms: number;
  /** Nanoseconds, as the stamps: its end. */
  readonly until: number;
  /** How many replies there were. */
  readonly replies: number;
}

/** Takes the stamps of replies, nanoseconds, as they come, and keeps the longest time between two. */
export class Gaps {
  #last: number | undefined;
  #longest = 0;
  #until = 0;
  #replies = 0;

  add(at: number): void {
    this.#replies++;
    this.#look(at);
    this.#last = at;
  }

  /** @throws Error without replies: then nothing was measured. */
  longest(end: number): Gap {
    if (this.#last === undefined) throw new Error('there was no reply');
    // What has not been answered when the measurement ends counts as well.
    this.#look(end);
    return { ms: this.#longest / 1e6, until: this.#until, replies: this.#replies };
  }

  #look(at: number): void {
    const gap = this.#last === undefined ? 0 : at - this.#last;
    if (gap <= this.#longest) return;
    this.#longest = gap;
    this.#until = at;
  }
}
