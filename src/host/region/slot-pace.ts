import type { Counters } from './counters.ts';
import { type Rate, TokenBucket } from './token-bucket.ts';

/** What a slot may cost the others, each of whom wakes up for a view. */
export interface Pace extends Rate {
  /** Updates of a slot that follow one of it sooner than this become one view; milliseconds. */
  readonly windowMs: number;
}

/** More than any member in its right mind needs: a program that starts, joins and ends again takes longer than a token. */
export const PACE: Pace = { windowMs: 5, burst: 200, perSecond: 50 };

interface State {
  readonly bucket: TokenBucket;
  /** No update is seen before this, milliseconds of performance.now(). */
  open: number;
  /** Runs while an update is owed. */
  owed: NodeJS.Timeout | null;
  /** Runs while a request waits. */
  visit: NodeJS.Timeout | null;
}

/**
 * Keeps a slot from waking the others without end: updates in quick succession become one view, and a slot that has used up what
 * it may do at once waits for its next request of that kind. What it did before counts for whoever holds the slot next, for new
 * clients are easily made. Timers run only while something is owed.
 */
export class SlotPace {
  readonly #pace: Pace;
  readonly #counters: Counters;
  readonly #publish: (slot: number) => void;
  readonly #visit: (slot: number) => void;
  readonly #slots = new Map<number, State>();

  /** `publish` shows the update that a slot is owed; `visit` looks at a slot whose request had to wait. */
  constructor(
    pace: Pace,
    counters: Counters,
    publish: (slot: number) => void,
    visit: (slot: number) => void,
  ) {
    this.#pace = pace;
    this.#counters = counters;
    this.#publish = publish;
    this.#visit = visit;
  }

  /** Whether something waits for its time. */
  get running(): boolean {
    return [...this.#slots.values()].some(({ owed, visit }) => owed !== null || visit !== null);
  }

  /** True: the update of this slot may be seen at once, and counts. False: `publish` will be called for it. */
  update(id: number): boolean {
    const now = performance.now();
    const slot = this.#slot(id, now);
    const wait = Math.max(slot.open - now, slot.bucket.wait(now));
    if (wait <= 0 && slot.owed === null) {
      this.#seen(slot, now);
      return true;
    }
    this.#counters.coalesced++;
    slot.owed ??= later(wait, () => {
      slot.owed = null;
      this.#seen(slot, performance.now());
      this.#publish(id);
    });
    return false;
  }

  /** True: a request that may wake the others is served now. False: `visit` will be called. */
  mayServe(id: number): boolean {
    const now = performance.now();
    const slot = this.#slot(id, now);
    const wait = slot.bucket.wait(now);
    if (wait <= 0) return true;
    if (slot.visit === null) this.#counters.postponed++;
    slot.visit ??= later(wait, () => {
      slot.visit = null;
      this.#visit(id);
    });
    return false;
  }

  /** Such a request was served, and woke the others. */
  spend(id: number): void {
    const now = performance.now();
    this.#slot(id, now).bucket.take(now);
  }

  /** Another view shows what the slot was owed. */
  settled(id: number): void {
    const slot = this.#slots.get(id);
    if (slot === undefined || slot.owed === null) return;
    clearTimeout(slot.owed);
    slot.owed = null;
  }

  /** Calls nobody back any more; what is owed and who waits is for the caller to remember. */
  stop(): void {
    for (const slot of this.#slots.values()) {
      if (slot.owed !== null) clearTimeout(slot.owed);
      if (slot.visit !== null) clearTimeout(slot.visit);
      slot.owed = null;
      slot.visit = null;
    }
  }

  #seen(slot: State, now: number): void {
    slot.bucket.take(now);
    slot.open = now + this.#pace.windowMs;
  }

  #slot(id: number, now: number): State {
    let slot = this.#slots.get(id);
    if (slot === undefined) {
      slot = { bucket: new TokenBucket(this.#pace, now), open: 0, owed: null, visit: null };
      this.#slots.set(id, slot);
    }
    return slot;
  }
}

function later(ms: number, then: () => void): NodeJS.Timeout {
  // Timers count whole milliseconds, and one that comes too early would have to wait again.
  return setTimeout(then, Math.ceil(ms)).unref();
}
