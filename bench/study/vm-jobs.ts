import { existsSync } from 'node:fs';
import { median } from '../../src/demo/figures.ts';
import type { Pace } from '../../src/study/end/ends.ts';
import type { Planned } from '../../src/study/results.ts';
import type { Job, Tools } from '../../src/study/suite.ts';
import { stallItem } from '../sockets/benchmarks.ts';
import type { Guests } from '../sockets-vm/guests.ts';
import { VmPairs } from '../sockets-vm/vm-pairs.ts';
import { Postgres } from './postgres.ts';
import { VmEnds } from './vm-ends.ts';

/** Everything of two VMs that stay for the whole study. */
export class VmTools implements Tools {
  readonly guests: Guests;
  readonly ends: VmEnds;
  readonly pairs: VmPairs;
  readonly postgres: Postgres;

  constructor(guests: Guests, pace: Pace, lessonMs: number) {
    this.guests = guests;
    this.ends = new VmEnds(guests, pace, lessonMs);
    this.pairs = new VmPairs(guests);
    this.postgres = new Postgres(guests);
  }

  get pids(): readonly number[] {
    return this.ends.pids;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Of two VMs, what is not the size of a message. */
export function vmJobs(pace: Pace): Job<VmTools>[] {
  return [...applications(pace), ...postgres(pace), stall(), ...absentOnes()];
}

const APPS = [
  { app: 'http', unit: 'op/s', ours: 'http-ours', path: 'shared-memory', baseline: 'http-net' },
  { app: 'redis', unit: 'op/s', ours: 'redis-tun', path: 'tun', baseline: 'redis-net' },
  { app: 'iperf3', unit: 'B/s', ours: 'iperf-tun', path: 'tun', baseline: 'iperf-net' },
] as const;

/** A web server in the transparent mode, redis-server and iperf3 over the TUN interface; all against virtio-net. */
function applications({ ms, warmUpMs }: Pace): Job<VmTools>[] {
  return APPS.flatMap(({ app, unit, ours, path, baseline }) =>
    [
      [path, ours],
      ['virtio-net', baseline],
    ].map(
      ([name, pair]): Job<VmTools> => ({
        planned: application(app, name!, unit),
        take: async ({ pairs }) => {
          const { value } = await (await pairs.get(pair!)).ask({ op: 'load', ms, warmUpMs });
          return { value };
        },
      }),
    ),
  );
}

/** pgbench's own read-only transactions, one client. */
function postgres({ ms }: Pace): Job<VmTools>[] {
  return (['tun', 'virtio-net'] as const).map((path) => ({
    planned: application('postgresql', path, 'op/s'),
    take: async ({ postgres }) => ({ value: await postgres.transactions(path, ms) }),
  }));
}

function application(app: string, path: string, unit: string): Planned {
  const rate = { metric: 'rate', unit, better: 'higher' } as const;
  return { experiment: 'applications', where: 'vm', point: { app }, path, ...rate };
}

function stall(): Job<VmTools> {
  const gap = { metric: 'gap', unit: 'ms', better: 'lower' } as const;
  return {
    planned: { experiment: 'switch', where: 'vm', point: { bytes: 16_384 }, path: 'shared-memory', ...gap },
    take: async ({ pairs }) => {
      const command = stallItem.command(stallItem.ways[0]!, { ms: 100, warmUpMs: 0, leastBytes: 0 });
      const { value, raw } = await (await pairs.get('ours')).ask(command);
      return { value, beside: [{ ...gap, path: 'no-switch', value: median(raw?.still ?? []) }] };
    },
  };
}

/** What no VM here can show, with the reason. */
function absentOnes(): Job<VmTools>[] {
  const rate = { metric: 'throughput', unit: 'B/s', better: 'higher' } as const;
  const vhost: Planned = {
    experiment: 'size',
    where: 'vm',
    point: { bytes: 65_536 },
    path: 'virtio-net-vhost',
    ...rate,
  };
  const memory = (level: string): Planned => ({
    ...{
      experiment: 'factors',
      where: 'vm',
      point: { factor: 'memory-type', level, bytes: 65_536 },
      path: 'channel',
    },
    ...rate,
    absent:
      'vfio-pci has one mapping of BAR2, and its memory type is the hypervisor’s: ivshmem doctor measures both of sysfs in a VM (an emulated processor has no memory types)',
  });
  const there = existsSync('/dev/vhost-net');
  const absent = there ? 'the VMs of this repository have vhost=off' : 'this kernel has no /dev/vhost-net';
  return [{ ...vhost, absent }, memory('uncached'), memory('write-combining')].map((planned) => ({
    planned,
    take: async () => {
      throw new Error(planned.absent);
    },
  }));
}
