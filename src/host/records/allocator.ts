interface Run {
  start: number;
  pages: number;
}

export interface AllocatorEffects {
  /** These pages are in use from now on. */
  taken(firstPage: number, pages: number): void;
}

/**
 * First-fit allocation of pages from the heap of a region. It lives in the server's private memory: a member that
 * writes over the shared tables cannot make two channels overlap.
 */
export class PageAllocator {
  /** Free runs, ascending, never adjacent. */
  readonly #free: Run[];
  readonly #used = new Map<number, number>();
  readonly #effects: AllocatorEffects;
  #freePages: number;

  constructor(firstPage: number, pages: number, effects: AllocatorEffects) {
    this.#effects = effects;
    this.#free = pages > 0 ? [{ start: firstPage, pages }] : [];
    this.#freePages = pages;
  }

  get freePages(): number {
    return this.#freePages;
  }

  /** The first page of a run of `pages` (a positive integer), or null when no free run is long enough. */
  allocate(pages: number): number | null {
    const at = this.#free.findIndex((run) => run.pages >= pages);
    const run = this.#free[at];
    if (run === undefined) return null;
    const { start } = run;
    run.start += pages;
    run.pages -= pages;
    if (run.pages === 0) this.#free.splice(at, 1);
    this.#used.set(start, pages);
    this.#freePages -= pages;
    this.#effects.taken(start, pages);
    return start;
  }

  /** Takes one certain run, as it was before a restart; false when any of it is taken or outside. */
  claim(start: number, pages: number): boolean {
    const at = this.#free.findIndex((run) => run.start <= start && start + pages <= run.start + run.pages);
    const run = this.#free[at];
    if (run === undefined || pages < 1) return false;
    const before = { start: run.start, pages: start - run.start };
    const after = { start: start + pages, pages: run.start + run.pages - start - pages };
    this.#free.splice(at, 1, ...[before, after].filter((rest) => rest.pages > 0));
    this.#used.set(start, pages);
    this.#freePages -= pages;
    this.#effects.taken(start, pages);
    return true;
  }

  /** Gives back the run that starts at `start`. Throws when there is none: that would be a fault of the server. */
  release(start: number): void {
    const pages = this.#used.get(start);
    if (pages === undefined) throw new RangeError(`no allocation starts at page ${start}`);
    this.#used.delete(start);
    this.#freePages += pages;
    let at = this.#free.findIndex((run) => run.start > start);
    if (at < 0) at = this.#free.length;
    const before = this.#free[at - 1];
    const after = this.#free[at];
    const joinsAfter = after !== undefined && start + pages === after.start;
    if (before !== undefined && before.start + before.pages === start) {
      before.pages += pages + (joinsAfter ? after.pages : 0);
      if (joinsAfter) this.#free.splice(at, 1);
    } else if (joinsAfter) {
      after.start = start;
      after.pages += pages;
    } else {
      this.#free.splice(at, 0, { start, pages });
    }
  }
}
