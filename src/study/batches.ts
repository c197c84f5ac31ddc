import { setImmediate as nextTurn } from 'node:timers/promises';

const BATCHES = 5;

/** Of the operations of a batch from one try to the next. */
const MOST_GROWTH = 8;

/**
 * Shortest warm-up, however short the sample: V8 compiles on a thread that shares the pinned CPU with a loop that never
 * sleeps, so its best code comes late.
 */
const WARM_UP_MS = 400;

/** Does `n` operations. */
export type Step = (n: number) => void | Promise<void>;

export interface WarmUp {
  /** Operations of a batch at least: more than what may lie ready in a ring or a socket's buffer when a batch starts. */
  readonly least?: number;
  /** Least length of the warm-up, milliseconds. */
  readonly warmUp?: number;
  /** Operations of its first step, which are doubled until a step is long. */
  readonly first?: number;
}

/**
 * Runs `step` for at least `warmUp` milliseconds, and returns how many operations are a fifth of `ms`. A warm-up that a busy machine
 * stalled would otherwise make batches that only empty a ring: hence `least`.
 */
export async function warmUp(
  ms: number,
  step: Step,
  { least = 1, warmUp = WARM_UP_MS, first = 64 }: WarmUp = {},
): Promise<number> {
  let count = first;
  for (const begin = performance.now(); ; ) {
    const spent = await nanosecondsOf(step, count);
    const long = spent >= (ms * 1e6) / 8;
    if (long && performance.now() - begin >= warmUp)
      return Math.max(least, Math.ceil((ms * 1e6) / BATCHES / (spent / count)));
    if (!long) count *= 2;
    // Steps that never wait would keep this process from whatever else it owes to its region.
    await nextTurn();
  }
}

/** Nanoseconds per operation of five batches of `n` each. */
export async function batchesOf(step: Step, n: number): Promise<number[]> {
  const batches: number[] = [];
  for (let b = 0; b < BATCHES; b++) batches.push((await nanosecondsOf(step, n)) / n);
  return batches;
}

/**
 * Both: five batches that fill `ms` after a warm-up. The procedure of bench/native/pair.h, with a longer warm-up. Batches that took a
 * small part of that time are taken again with more operations: the warm-up was stalled, and they only emptied what lay ready.
 */
export async function timeBatches(ms: number, step: Step, options: WarmUp = {}): Promise<number[]> {
  for (let n = await warmUp(ms, step, options); ; ) {
    const batches = await batchesOf(step, n);
    const took = batches.reduce((sum, ns) => sum + ns * n, 0) / 1e6;
    if (took >= ms / 4) return batches;
    // What lies ready takes no time at all, and says nothing of what comes after it.
    n = Math.ceil(n * Math.min(MOST_GROWTH, ms / took));
  }
}

/** A step that returns no promise is not awaited: that would be a turn of the microtask queue in the time. */
async function nanosecondsOf(step: Step, n: number): Promise<number> {
  const from = process.hrtime.bigint();
  const pending = step(n);
  if (pending) await pending;
  return Number(process.hrtime.bigint() - from);
}
