import { median } from '../harness/statistics.ts';

const batchCount = 5;

/**
 * Shortest warm-up, however short the sample: V8 compiles on a thread that shares the pinned CPU with a loop that never
 * sleeps, so its best code comes late.
 */
const warmUpMs = 400;

/** How many operations make one batch, from what the warm-up took. */
function batchSize(ms: number, warmUpNs: number, warmUpCount: number): number {
  return Math.ceil((ms * 1e6) / batchCount / (warmUpNs / warmUpCount));
}

/**
 * Runs `step(n)` (n operations) as a warm-up of at least `warmUp` milliseconds, then as five batches that fill `ms`, of at
 * least `least` operations: more than what may lie ready in a ring or a socket's buffer when a batch starts. A warm-up that a
 * busy machine stalled would otherwise make batches that only empty it.
 * `first`: operations of the first step of the warm-up, which are doubled until a step is long. Returns nanoseconds per operation of each batch. The procedure of native/pair.h, with a longer warm-up.
 */
export async function timeBatches(
  ms: number,
  step: (n: number) => void | Promise<void>,
  { least = 1, warmUp = warmUpMs, first = 64 } = {},
): Promise<number[]> {
  let count = first;
  let spent = 0;
  for (const begin = performance.now(); ; ) {
    const from = process.hrtime.bigint();
    const pending = step(count);
    if (pending) await pending;
    spent = Number(process.hrtime.bigint() - from);
    const long = spent >= (ms * 1e6) / 8;
    if (long && performance.now() - begin >= warmUp) break;
    if (!long) count *= 2;
  }
  const n = Math.max(least, batchSize(ms, spent, count));
  const batches: number[] = [];
  for (let b = 0; b < batchCount; b++) {
    const from = process.hrtime.bigint();
    const pending = step(n);
    if (pending) await pending;
    batches.push(Number(process.hrtime.bigint() - from) / n);
  }
  return batches;
}

/** Prints the line the harness reads. `perOperation` is bytes or messages that one operation moves; 0: a round trip, in ns. */
export function printBatches(nanoseconds: readonly number[], unit: string, perOperation: number): void {
  const batches = perOperation === 0 ? nanoseconds : nanoseconds.map((ns) => (perOperation * 1e9) / ns);
  process.stdout.write(`${JSON.stringify({ value: median(batches), unit, batches })}\n`);
}
