import type { Ends, Wanted } from '../end/ends.ts';
import { channel, type Path, sharedMemory, tcp, unix, unixOnread } from '../end/paths.ts';
import type { Planned } from '../results.ts';
import { messagesPerWrite } from '../stream/orders.ts';
import type { Job } from '../suite.ts';
import { besides } from './cost.ts';

type Where = Planned['where'];

/** Round trips: the median, and all single ones as a histogram. */
export function roundTrip(
  experiment: string,
  where: Where,
  path: Path,
  bytes: number,
  wanted?: Partial<Wanted>,
): Job<Ends> {
  const metric = { metric: 'round-trip', unit: 'ns', better: 'lower' } as const;
  return {
    planned: { experiment, where, point: { bytes }, path: path.name, ...metric },
    take: async (ends) => {
      const { value, histogram } = await ends.take(path, { what: 'rtt', bytes, ...wanted });
      return { value, ...(histogram === undefined ? {} : { histogram }) };
    },
  };
}

/** Round trips that are due at a rate, whether the one before is back or not; each takes from when it was due. */
export function response(
  experiment: string,
  where: Where,
  path: Path,
  bytes: number,
  perSecond: number,
): Job<Ends> {
  const metric = { metric: 'response', unit: 'ns', better: 'lower' } as const;
  return {
    planned: { experiment, where, point: { bytes, perSecond }, path: path.name, ...metric },
    take: async (ends) => {
      const { value, histogram } = await ends.take(path, { what: 'open', bytes, perSecond });
      return { value, ...(histogram === undefined ? {} : { histogram }) };
    },
  };
}

/** Messages one way, and what moving them costs. `corked`: several in one write, where a path can do that. */
export function throughput(where: Where, path: Path, bytes: number, corked = false): Job<Ends> {
  const name = corked ? `${path.name}-corked` : path.name;
  const metric = { metric: 'throughput', unit: 'B/s', better: 'higher' } as const;
  const order = { what: corked || path.way === 'channel' ? 'burst' : 'feed', bytes } as const;
  const planned: Planned = { experiment: 'size', where, point: { bytes }, path: name, ...metric };
  return {
    planned,
    take: async (ends) => {
      const { value, operations, used } = await ends.take(path, order);
      return { value, beside: besides(planned, used, operations, bytes) };
    },
  };
}

export interface SizeOptions {
  readonly where: Where;
  readonly bytes: readonly number[];
  readonly paths: readonly Path[];
  /** Round trips due in a second, for the times of an open loop. */
  readonly perSecond: number;
  readonly openBytes: readonly number[];
}

export const nativePaths: readonly Path[] = [channel, sharedMemory, unix, tcp];

/** Sizes by paths: round trips, responses at a rate, and throughput, of streams both ways of writing: each message in a write, and several in one. */
export function sizeJobs({ where, bytes, paths, perSecond, openBytes }: SizeOptions): Job<Ends>[] {
  return paths.flatMap((path) => [
    ...bytes.map((size) => roundTrip('size', where, path, size)),
    ...openBytes.map((size) => response('size', where, path, size, perSecond)),
    ...bytes.flatMap((size) => throughputs(where, path, size)),
  ]);
}

function throughputs(where: Where, path: Path, bytes: number): Job<Ends>[] {
  const each = throughput(where, path, bytes);
  if (path.way === 'channel') return [each];
  const corked = messagesPerWrite({ what: 'burst', bytes }) > 1 ? [throughput(where, path, bytes, true)] : [];
  // A buffer of the program's own matters where there is much to read.
  const onread = path === unix && bytes >= 16_384 ? [throughput(where, unixOnread, bytes)] : [];
  return [each, ...corked, ...onread];
}

/** The same thing under two names: how much figures differ when nothing does. */
export function noiseJobs(where: Where, paths: readonly Path[]): Job<Ends>[] {
  return paths.flatMap((path) =>
    [path, { ...path, name: `${path.name}-again` }].flatMap((one) => {
      const { planned, take } = throughput(where, one, 65_536);
      // What it costs is in the other experiment already.
      const alone: Job<Ends> = {
        planned: { ...planned, experiment: 'noise' },
        take: async (ends) => ({ value: (await take(ends)).value }),
      };
      return [roundTrip('noise', where, one, 64), alone];
    }),
  );
}
