import type { Planned } from '../../src/study/results.ts';
import type { Job, Tools } from '../../src/study/suite.ts';
import { floor, nativePeer, ours, zeromq } from '../core/contestants.ts';
import { execute } from '../harness/execute.ts';
import type { Contestant } from '../harness/types.ts';

/** Programs that start all they need themselves: there is nothing between two samples. */
export const nothing: Tools = { pids: [], [Symbol.asyncDispose]: async () => {} };

/** How such a program is run: the flags of native/pair.h. */
export interface Flags {
  readonly cpus: readonly [number, number];
  readonly ms: number;
}

/** A sample of a program that prints its measurement; `factor` makes what it counts the planned unit. */
export function programJob(
  what: Omit<Planned, 'path' | 'where' | 'absent'>,
  { name, command, absent }: Contestant,
  { cpus, ms }: Flags,
  factor = 1,
): Job<Tools> {
  const planned: Planned = { ...what, where: 'native', path: name };
  const flags = ['--cpu-a', String(cpus[0]), '--cpu-b', String(cpus[1]), '--ms', String(ms)];
  return {
    planned: absent === undefined ? planned : { ...planned, absent },
    take: async () => ({ value: factor * (await execute([...command, ...flags])).value }),
  };
}

const roundTrip = { metric: 'round-trip', unit: 'ns', better: 'lower' } as const;
const throughput = { metric: 'throughput', unit: 'B/s', better: 'higher' } as const;

/** The floors in C and the peers that are installed, at the sizes they are written for; `quick`: at the small one only. */
export function peerJobs(flags: Flags, quick: boolean): Job<Tools>[] {
  const [small, large] = [{ bytes: 64 }, { bytes: 65_536 }];
  const rtt = { experiment: 'size', point: small, ...roundTrip };
  const rate = { experiment: 'size', point: small, ...throughput };
  const bandwidth = { experiment: 'size', point: large, ...throughput };
  return [
    ...[floor('c-line', 'line'), floor('c-packed-ring', 'packed_rtt')].map((one) =>
      programJob(rtt, one, flags),
    ),
    ...[nativePeer('memif', 'rtt'), nativePeer('iceoryx', 'rtt-poll'), zeromq('rtt')].map((one) =>
      programJob(rtt, one, flags),
    ),
    // They count messages.
    ...[floor('c-packed-ring', 'packed_rate'), nativePeer('memif', 'rate')].map((one) =>
      programJob(rate, one, flags, small.bytes),
    ),
    ...[nativePeer('iceoryx', 'rate'), zeromq('rate')].map((one) =>
      programJob(rate, one, flags, small.bytes),
    ),
    ...(quick
      ? []
      : [floor('c-copy', 'copy', 'in-place'), nativePeer('iceoryx', 'in-place'), zeromq('in-place')].map(
          (one) => programJob(bandwidth, one, flags),
        )),
    programJob(
      { experiment: 'factors', point: { factor: 'wait', level: 'interrupt', bytes: 64 }, ...roundTrip },
      floor('c-eventfd', 'eventfd'),
      flags,
    ),
  ];
}

/** The cost of a message over so many channels of one member in turn. */
export function channelCountJobs(counts: readonly number[], flags: Flags): Job<Tools>[] {
  return counts.map((channels) =>
    programJob(
      { experiment: 'count', point: { channels, bytes: 64 }, ...roundTrip },
      ours('channels', 'channel', '--channels', String(channels)),
      flags,
    ),
  );
}
