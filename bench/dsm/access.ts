import { timeBatches } from '../contestants/batches.ts';
import { fail } from '../contestants/pair.ts';
import { randomSource } from '../harness/statistics.ts';

/** Larger than a processor's second level of cache, and than its translations of addresses reach. */
export const ACCESS_BYTES = 24 << 20;
const PAGE_BYTES = 4096;
/** Accesses that are one step of the clock. */
const STEP = 1 << 16;

/**
 * Nanoseconds for each element of memory that was touched before: `sequential`: eight bytes are loaded, added to and stored, one
 * after the other; `random`: each load says where the next one goes, so that nothing can be fetched ahead.
 */
export async function passes(ms: number, order: string, buffer: ArrayBuffer): Promise<number[]> {
  if (order === 'random') return followed(ms, buffer);
  const numbers = new Float64Array(buffer);
  numbers.fill(1);
  let at = 0;
  let rounds = 0;
  const batches = await timeBatches(
    ms,
    (n) => {
      for (let left = n; left > 0; left--) {
        for (const end = at + STEP; at < end; at++) numbers[at] = numbers[at]! + 1;
        if (at === numbers.length) {
          at = 0;
          rounds++;
        }
      }
    },
    { first: 1 },
  );
  for (let i = 0; i < numbers.length; i++)
    if (numbers[i] !== 1 + rounds + (i < at ? 1 : 0))
      fail(`element ${i} is ${numbers[i]} after ${rounds} rounds`);
  return batches.map((ns) => ns / STEP);
}

/** One circle through all lines of 64 bytes, in random order (Sattolo's shuffle). */
async function followed(ms: number, buffer: ArrayBuffer): Promise<number[]> {
  const words = new Int32Array(buffer);
  const lines = words.length / 16;
  const random = randomSource(3);
  const order = Int32Array.from({ length: lines }, (_, i) => i);
  for (let i = lines - 1; i > 0; i--) {
    const j = Math.floor(random() * i);
    const other = order[j]!;
    order[j] = order[i]!;
    order[i] = other;
  }
  for (let i = 0; i < lines; i++) words[i * 16] = order[i]! * 16;
  let at = 0;
  let followed = 0;
  const batches = await timeBatches(
    ms,
    (n) => {
      let here = at;
      for (let left = n * STEP; left > 0; left--) here = words[here]!;
      at = here;
      followed += n * STEP;
    },
    { first: 1 },
  );
  let here = 0;
  for (let left = followed % lines; left > 0; left--) here = words[here]!;
  if (here !== at) fail(`after ${followed} loads it is at ${at}, not ${here}`);
  return batches.map((ns) => ns / STEP);
}

/** What is to be touched for the first time. */
export interface Fresh {
  readonly buffer: ArrayBuffer;
  close(): Promise<void>;
}

/** Nanoseconds for the first store to a page, in memory that nobody has touched yet. */
export async function firstTouches(ms: number, open: () => Promise<Fresh>): Promise<number[]> {
  const batches: number[] = [];
  const until = performance.now() + 2 * ms;
  // The first is the warm-up.
  for (let batch = 0; batch < 6 || performance.now() < until; batch++) {
    const fresh = await open();
    const words = new Int32Array(fresh.buffer);
    const from = process.hrtime.bigint();
    let sum = 0;
    for (let at = 0; at < words.length; at += PAGE_BYTES / 4) sum += words[at]!++;
    const ns = Number(process.hrtime.bigint() - from);
    if (sum !== 0) fail(`a fresh page holds ${sum}`);
    await fresh.close();
    if (batch > 0) batches.push(ns / (ACCESS_BYTES / PAGE_BYTES));
  }
  return batches;
}
