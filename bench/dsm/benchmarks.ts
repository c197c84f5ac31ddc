import path from 'node:path';
import { outFolder } from '../harness/build.ts';
import { oursName } from '../harness/rows.ts';
import type { Benchmark, Contestant } from '../harness/types.ts';
import { apps } from './apps/index.ts';
import { STREAM_BYTES } from './hosts/remote.ts';

/** A goal that is a number, or a ratio to a baseline. */
export interface Goal {
  readonly text: string;
  readonly baselineName: string;
  readonly met: (ours: number, baseline: number) => boolean;
}

export interface DsmBenchmark extends Omit<Benchmark, 'target'> {
  readonly goals: readonly Goal[];
  /** Over two hosts, which take seconds to find each other before each sample. */
  readonly hosts?: boolean;
}

const contestant = (program: string, mode: string, name: string): Contestant => ({
  name,
  command: [process.execPath, path.join(outFolder, `${program}.mjs`), '--mode', mode],
});
const piece = (mode: string, name = oursName): Contestant => contestant('dsm-pieces', mode, name);
const atMost = (baselineName: string, most: number): Goal => ({
  text: `<= ${most}x ${baselineName}`,
  baselineName,
  met: (ours, baseline) => ours <= most * baseline,
});

/** On one host: members are processes, each on a CPU of its own. And over two hosts. */
export function dsmBenchmarks(): DsmBenchmark[] {
  const ns = { unit: 'ns', better: 'lower' } as const;
  const access = (order: string, metric: string): DsmBenchmark => ({
    ...{ id: `access-${order}`, metric, ...ns },
    contestants: [piece(`${order}/space`), piece(`${order}/private`, 'private')],
    // In time: the inverse of the speed that is asked for.
    goals: [
      {
        text: '>= 0.95x the speed of private',
        baselineName: 'private',
        met: (ours, it) => ours <= it / 0.95,
      },
    ],
  });
  return [
    access('sequential', 'load, add and store of 8 bytes, one after the other, memory touched before'),
    access('random', 'load of a line after the other in random order, memory touched before'),
    {
      ...{ id: 'fault-local', metric: 'first touch of a page of 4096 bytes', ...ns },
      contestants: [piece('fault/space'), piece('fault/private', 'private')],
      goals: [{ text: '<= 20 us', baselineName: 'private', met: (ours) => ours <= 20_000 }],
    },
    {
      ...{ id: 'lock-uncontended', metric: 'taking and releasing a mutex', ...ns },
      contestants: [
        piece('lock/space'),
        piece('lock/awaited', 'awaited'),
        piece('lock/private', 'compare-and-swap'),
      ],
      goals: [atMost('compare-and-swap', 5)],
    },
    {
      ...{
        id: 'lock-contended',
        metric: 'two members that want one mutex all the time, per lock of either',
        ...ns,
      },
      contestants: [piece('contended/space'), piece('contended/messages', 'messages')],
      goals: [atMost('messages', 1)],
    },
    {
      ...{ id: 'lock-contended-own', metric: 'the same, per lock of one of the two', ...ns },
      contestants: [piece('own/space'), piece('own/messages', 'messages')],
      goals: [],
    },
    {
      ...{ id: 'barrier', metric: 'two members meet', ...ns },
      contestants: [piece('barrier/space'), piece('barrier/messages', 'messages')],
      goals: [atMost('messages', 1)],
    },
    ...apps.flatMap(({ name }) => [1, 2].map((members) => application(name, members))),
    ...overHosts(),
  ];
}

const wire = (mode: string, transport: string): Contestant => {
  const { command, name } = contestant('dsm-wire', mode, transport);
  return { name, command: [...command, '--transport', transport] };
};

/** Over two hosts, one CPU each: members, servers and what goes over TCP between the same two. */
function overHosts(): DsmBenchmark[] {
  const ns = { unit: 'ns', better: 'lower' } as const;
  const speed = { unit: 'B/s', better: 'higher' } as const;
  const remote = (mode: string, name = oursName): Contestant => contestant('dsm-remote', mode, name);
  const roundTrips = [wire('rtt/4096', 'tcp'), wire('rtt/4096', 'tls')];
  const streams = [wire(`stream/${STREAM_BYTES}`, 'tcp'), wire(`stream/${STREAM_BYTES}`, 'tls')];
  const stream = (id: string, metric: string, pageSize: number): DsmBenchmark => ({
    ...{ id, metric, ...speed },
    contestants: [remote(`stream/${pageSize}`), ...streams],
    goals: [{ text: '>= 0.7x tcp', baselineName: 'tcp', met: (ours, it) => ours >= 0.7 * it }],
  });
  const all: DsmBenchmark[] = [
    {
      ...{
        id: 'fault-remote-4k',
        metric: 'load from a page that a member on another host has written',
        ...ns,
      },
      contestants: [remote('read/4096'), remote('read-idle/4096', 'nobody-maps-it'), ...roundTrips],
      goals: [atMost('tcp', 2.5)],
    },
    {
      ...{ id: 'fault-remote-4k-write', metric: 'atomic addition on such a page', ...ns },
      contestants: [remote('write/4096'), wire('rtt/4096', 'tcp')],
      goals: [atMost('tcp', 2.5)],
    },
    {
      ...{ id: 'fault-local-spread', metric: 'load from a page of this host that is not mapped', ...ns },
      contestants: [remote('home/4096'), contestant('dsm-pieces', 'fault/private', 'private')],
      goals: [{ text: '<= 20 us', baselineName: 'private', met: (ours) => ours <= 20_000 }],
    },
    stream('stream-remote', '24 MiB in pages of 64 KiB, acquired 1 MiB at a time, three ahead', 65536),
    stream('stream-remote-4k', 'the same in pages of 4 KiB', 4096),
    ...apps.map(({ name }) => application2x2(name)),
  ];
  return all.map((benchmark) => ({ ...benchmark, hosts: true }));
}

function application2x2(name: string): DsmBenchmark {
  const app = (way: string, as = oursName): Contestant => contestant('dsm-app', `${name}/${way}`, as);
  return {
    ...{ id: `app-${name}-2x2`, metric: 'a run, 2 members on 2 hosts', unit: 'ms', better: 'lower' },
    contestants: [app('hosts-2'), app('one', 'one-process'), app('wire-2', 'messages')],
    goals: [speedUp],
  };
}

const speedUp: Goal = {
  text: 'speed-up >= 1.6x one-process',
  baselineName: 'one-process',
  met: (ours, it) => it / ours >= 1.6,
};

function application(name: string, members: number): DsmBenchmark {
  const one = contestant('dsm-app', `${name}/one`, 'one-process');
  const messages = contestant('dsm-app', `${name}/messages-2`, 'messages');
  return {
    id: `app-${name}-${members}x1`,
    metric: `a run, ${members === 1 ? '1 member' : `${members} members`} on 1 host`,
    unit: 'ms',
    better: 'lower',
    contestants: [
      contestant('dsm-app', `${name}/space-${members}`, oursName),
      one,
      ...(members > 1 ? [messages] : []),
    ],
    goals: members > 1 ? [speedUp] : [],
  };
}
