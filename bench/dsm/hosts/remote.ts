import type { SpreadSpace } from '../../../src/dsm/index.ts';
import { randomSource, shuffled } from '../../harness/statistics.ts';
import type { Partner } from './pair.ts';

const FAULT_BYTES = 4 << 20;
export const STREAM_BYTES = 24 << 20;
/** What a stream is read by, and how many of these are asked for ahead. */
const PIECE_BYTES = 1 << 20;
const AHEAD = 3;
const LEAST_BATCHES = 5;

/** One kind of work with the pages of another host. */
export interface RemoteWork {
  readonly bytes: number;
  readonly pageSize: number;
  /** Bytes that one operation moves; 0: what counts is its time. */
  readonly perOperation: number;
  /** Nanoseconds of an operation, batch by batch. */
  measure(ms: number, space: SpreadSpace, partner: Partner): Promise<number[]>;
}

/** By name; null: there is none. */
export function remote(piece: string, pageSize: number): RemoteWork | null {
  const fault = (touch: Touch, order: string): RemoteWork => ({
    ...{ bytes: FAULT_BYTES, pageSize, perOperation: 0 },
    measure: (ms, space, partner) => batches(ms, space, partner, order, () => touched(space, touch)),
  });
  switch (piece) {
    case 'read':
      return fault((words, at) => words[at]!, 'fill');
    case 'read-idle':
      return fault((words, at) => words[at]!, 'fill-and-leave');
    case 'write':
      // A store that is sure to be one: `words[at]++` loads before, which is a fault of its own.
      return fault((words, at) => Atomics.add(words, at, 1), 'fill');
    case 'home':
      return fault((words, at) => words[at]!, 'home');
    case 'stream':
      return {
        ...{ bytes: STREAM_BYTES, pageSize, perOperation: STREAM_BYTES },
        measure: (ms, space, partner) => batches(ms, space, partner, 'fill', () => streamed(space)),
      };
    default:
      return null;
  }
}

/** An access to the word at `at`, whose value it has from before. */
type Touch = (words: Int32Array, at: number) => number;

/** The partner: makes all pages its own, each with the number of the batch in its first and last word; or leaves them to others. */
export async function ownedBy(space: SpreadSpace, what: string): Promise<string> {
  const [order, number] = what.split(' ') as [string, string];
  if (order === 'home') space.hint(0, space.byteLength, 'dont-need');
  else stamp(space, Number(number));
  if (order === 'fill-and-leave') space.hint(0, space.byteLength, 'dont-need');
  return 'done';
}

function stamp(space: SpreadSpace, number: number): void {
  const words = new Int32Array(space.buffer);
  const step = space.pageBytes / 4;
  for (let at = 0; at < words.length; at += step) {
    words[at] = number;
    words[at + step - 1] = number;
  }
}

/** Before each batch the pages go where they are to come from; the first batch is the warm-up. */
async function batches(
  ms: number,
  space: SpreadSpace,
  partner: Partner,
  order: string,
  step: () => number | Promise<number>,
): Promise<number[]> {
  const words = new Int32Array(space.buffer);
  const results: number[] = [];
  const until = performance.now() + 2 * ms;
  for (let batch = 0; batch <= LEAST_BATCHES || performance.now() < until; batch++) {
    const number = batch + 1;
    await partner.ask(`${order} ${number}`);
    if (order === 'home') {
      stamp(space, number);
      space.hint(0, space.byteLength, 'dont-need');
    }
    const ns = await step();
    for (let at = 0; at < words.length; at += space.pageBytes / 4)
      if (words[at + space.pageBytes / 4 - 1] !== number)
        throw new Error(`word ${at} is ${words[at]} and not of batch ${number}`);
    if (batch > 0) results.push(ns);
  }
  return results;
}

/** Nanoseconds for the first touch of a page, one after the other in random order, so that nobody can fetch ahead. */
function touched(space: SpreadSpace, touch: Touch): number {
  const words = new Int32Array(space.buffer);
  const step = space.pageBytes / 4;
  const pages = words.length / step;
  const order = shuffled(
    Array.from({ length: pages }, (_, i) => i),
    randomSource(5),
  );
  const before = space.counts();
  const from = process.hrtime.bigint();
  let sum = 0;
  for (const page of order) sum += touch(words, page * step);
  const ns = Number(process.hrtime.bigint() - from);
  const after = space.counts();
  const faults = after.readFaults + after.writeFaults - before.readFaults - before.writeFaults;
  if (faults < pages) throw new Error(`${pages} pages took ${faults} faults and have ${sum}`);
  return ns / pages;
}

/** Nanoseconds until all of the space was read, a word of each line, while the next pieces are on their way. */
async function streamed(space: SpreadSpace): Promise<number> {
  const words = new Int32Array(space.buffer);
  const from = process.hrtime.bigint();
  const pins = [];
  let sum = 0;
  const end = STREAM_BYTES / PIECE_BYTES;
  const acquire = (piece: number) => space.acquire(piece * PIECE_BYTES, PIECE_BYTES, 'read');
  for (let next = 0; next < AHEAD; next++) pins.push(acquire(next));
  for (let piece = 0; piece < end; piece++) {
    const pin = await pins.shift()!;
    if (piece + AHEAD < end) pins.push(acquire(piece + AHEAD));
    for (let at = (piece * PIECE_BYTES) / 4; at < ((piece + 1) * PIECE_BYTES) / 4; at += 16)
      sum += words[at]!;
    pin.release();
  }
  if (sum === 0) throw new Error('nothing came');
  return Number(process.hrtime.bigint() - from);
}
