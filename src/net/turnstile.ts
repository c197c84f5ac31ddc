/** So many at a time have their turn; the others wait, in the order in which they came. */
export class Turnstile<T> {
  readonly #places: number;
  readonly #longestMs: number;
  readonly #go: (one: T) => void;
  /** Since when (performance.now()) each has its turn, longest first. */
  readonly #inside = new Map<T, number>();
  readonly #waiting = new Set<T>();
  #timer: NodeJS.Timeout | null = null;

  /** `longestMs`: a turn that lasts longer keeps nobody waiting any more. `go`: it is the turn of one that waited. */
  constructor(places: number, longestMs: number, go: (one: T) => void) {
    this.#places = places;
    this.#longestMs = longestMs;
    this.#go = go;
  }

  /** True: it has its turn, until `done`. False: it waits for it. */
  enter(one: T): boolean {
    if (this.#inside.has(one)) return true;
    if (this.#inside.size >= this.#places) {
      this.#waiting.add(one);
      this.#watch();
      return false;
    }
    this.#waiting.delete(one);
    this.#inside.set(one, performance.now());
    return true;
  }

  /** It has had its turn, or wants none any more. */
  done(one: T): void {
    this.#waiting.delete(one);
    if (this.#inside.delete(one)) this.#next();
  }

  #next(): void {
    for (const one of this.#waiting) {
      if (this.#inside.size >= this.#places) return;
      this.#waiting.delete(one);
      this.#inside.set(one, performance.now());
      this.#go(one);
    }
  }

  /** Keeps no process alive. */
  #watch(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      const since = performance.now() - this.#longestMs;
      for (const [one, began] of this.#inside) {
        if (began > since) break;
        this.#inside.delete(one);
      }
      this.#next();
      if (this.#waiting.size > 0) this.#watch();
    }, this.#longestMs).unref();
  }
}
