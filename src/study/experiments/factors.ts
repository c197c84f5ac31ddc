import type { Ends, Wanted } from '../end/ends.ts';
import type { NativeEnds } from '../end/native-ends.ts';
import { channel, type Path } from '../end/paths.ts';
import type { Planned } from '../results.ts';
import type { Job } from '../suite.ts';

const rate = { metric: 'throughput', unit: 'B/s', better: 'higher' } as const;
const time = { metric: 'round-trip', unit: 'ns', better: 'lower' } as const;

/** One level of one factor of channels, everything else as it is by default. */
function job(
  level: { readonly factor: string; readonly level: string | number; readonly bytes: number },
  metric: typeof rate | typeof time,
  wanted: Omit<Wanted, 'bytes'>,
  path: Path = channel,
): Job<Ends> {
  const planned: Planned = {
    experiment: 'factors',
    where: 'native',
    point: level,
    path: 'channel',
    ...metric,
  };
  return {
    planned,
    take: async (ends) => {
      const { value, histogram } = await ends.take(path, { ...wanted, bytes: level.bytes });
      return { value, ...(histogram === undefined ? {} : { histogram }) };
    },
  };
}

/** What the pages of a region make of a stream of large messages; a job for each kind, because each takes a region of its own. */
export function pageSizeJob(level: '4 KiB' | '2 MiB', absent = ''): Job<Ends> {
  const { planned, take } = job({ factor: 'page-size', level, bytes: 65_536 }, rate, { what: 'burst' });
  return { planned: absent === '' ? planned : { ...planned, absent }, take };
}

/** Interrupt vectors of a member: round trips of two sides that sleep; a job for each number, because each takes a region of its own. */
export function vectorsJob(level: number): Job<Ends> {
  const asleep: Path = { ...channel, wait: 'interrupt' };
  return job({ factor: 'vectors', level, bytes: 64 }, time, { what: 'open' }, asleep);
}

/** The cost of a message beside members that do nothing. */
export function membersJob(members: number): Job<NativeEnds> {
  const planned: Planned = {
    ...{ experiment: 'count', where: 'native', path: 'channel', ...time },
    point: { members, bytes: 64 },
  };
  return {
    planned,
    take: async (ends) => {
      await using _ = await ends.crowd(members - 2);
      const { value, histogram } = await ends.take(channel, { what: 'rtt', bytes: 64 });
      return { value, ...(histogram === undefined ? {} : { histogram }) };
    },
  };
}

/** Factors of channels, each varied by itself. `quick`: the ends of each range only. */
export function factorJobs(quick: boolean): Job<Ends>[] {
  const some = <T>(levels: readonly T[]): readonly T[] => (quick ? [levels[0]!, levels.at(-1)!] : levels);
  return [
    ...some([16, 64, 256, 1024]).map((depth) =>
      job({ factor: 'ring-depth', level: depth, bytes: 64 }, rate, {
        what: 'burst',
        shape: { queueSize: depth, dataBytes: 1 << 20 },
      }),
    ),
    ...some([1, 4, 16, 32]).map((burst) =>
      job({ factor: 'burst', level: burst, bytes: 64 }, rate, { what: 'burst', burst }),
    ),
    ...some([18, 20, 22, 23]).map((power) =>
      job({ factor: 'data-area', level: 2 ** power, bytes: 65_536 }, rate, {
        what: 'burst',
        burst: 1,
        shape: { dataBytes: 2 ** power },
      }),
    ),
    ...[false, true].map((copied) =>
      job({ factor: 'copy', level: copied ? 'copied out' : 'read in place', bytes: 65_536 }, rate, {
        ...{ what: 'burst', copied },
      }),
    ),
    job({ factor: 'wait', level: 'busy', bytes: 64 }, time, { what: 'rtt' }),
    ...(['adaptive', 'loop', 'interrupt'] as const).map((wait) =>
      job({ factor: 'wait', level: wait, bytes: 64 }, time, { what: 'open' }, { ...channel, wait }),
    ),
    // Messages one at a time: a burst has one doorbell at most.
    ...[false, true].map((ringAlways) =>
      job(
        { factor: 'doorbell-suppression', level: ringAlways ? 'off' : 'on', bytes: 64 },
        rate,
        { what: 'burst', burst: 1 },
        { ...channel, ringAlways },
      ),
    ),
    // Asleep both: a side that polls would keep the other one from the processor they share.
    ...[false, true].map((together) =>
      job(
        { factor: 'processors', level: together ? 'the same' : 'one each', bytes: 64 },
        time,
        { what: 'open' },
        { ...channel, wait: 'interrupt', together },
      ),
    ),
  ];
}
