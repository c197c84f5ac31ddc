import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { Times } from '../../../src/study/histogram.ts';
import { randomSource } from '../../../src/study/random.ts';
import type { Plan, Planned, Sample, StudyMachine } from '../../../src/study/results.ts';

import { testFolder } from '../../support/test-folder.ts';

/** What a figure of a made-up study is: its median, and how far rounds are from it. */
export interface MadeUp extends Planned {
  readonly median: number;
  readonly spread?: number;
  /** Single measurements are kept. */
  readonly single?: true;
  readonly noisy?: string;
  readonly failed?: string;
}

const ns = { metric: 'round-trip', unit: 'ns', better: 'lower' } as const;
const rate = { metric: 'throughput', unit: 'B/s', better: 'higher' } as const;
const native = { where: 'native' } as const;
const vm = { where: 'vm' } as const;

/** A study of every experiment, with what may go wrong in it: noisy, failed and absent points, names that look like HTML. */
export function madeUpStudy(): MadeUp[] {
  const sizes = [64, 1024, 16_384, 65_536, 1_048_576];
  const size = sizes.flatMap((bytes): MadeUp[] =>
    ([native, vm] as const).flatMap((where) => {
      const at = { experiment: 'size', ...where, point: { bytes } };
      const slow = where === vm ? 20 : 1;
      const noisy = bytes === 1024 ? { noisy: 'others used 0.4 of a processor' } : {};
      return [
        { ...at, ...ns, path: 'channel', median: slow * (400 + bytes / 8), single: true },
        { ...at, ...ns, path: 'shared-memory', median: slow * (3000 + bytes / 8), single: true, ...noisy },
        {
          ...at,
          ...ns,
          path: where === vm ? 'virtio-net' : 'tcp',
          median: slow * (70_000 + bytes / 2),
          single: true,
        },
        { ...at, ...rate, path: 'channel', median: (bytes * 3e7) / slow / (1 + bytes / 1000) },
        { ...at, ...rate, path: 'shared-memory', median: (bytes * 2e6) / slow / (1 + bytes / 4000) },
        {
          ...at,
          ...rate,
          path: where === vm ? 'virtio-net' : 'tcp',
          median: (bytes * 1e6) / slow / (1 + bytes / 4000),
        },
      ];
    }),
  );
  const mix = [0, 25, 50, 75, 100].flatMap((remote): MadeUp[] =>
    ['shared-memory', 'tcp'].flatMap((path): MadeUp[] => {
      const local = path === 'tcp' ? 70_000 : 3000;
      const at = { experiment: 'mix', ...native, path };
      const mean = (local * (100 - remote) + 70_000 * remote) / 100;
      return [
        {
          ...at,
          point: { remote, bytes: 1024 },
          metric: 'rate',
          unit: 'op/s',
          better: 'higher',
          median: 1e9 / mean,
        },
        ...(remote < 100
          ? [{ ...at, point: { remote, bytes: 1024, part: 'local' }, ...ns, median: local }]
          : []),
        ...(remote > 0
          ? [{ ...at, point: { remote, bytes: 1024, part: 'remote' }, ...ns, median: 70_000 }]
          : []),
      ];
    }),
  );
  const count = [
    ...[2, 8, 32, 64].map(
      (members): MadeUp => ({
        ...{ experiment: 'count', ...native, point: { members }, path: 'event', metric: 'cpu-per-change' },
        ...{ unit: 'us', better: 'lower', median: 200 + 5 * members },
      }),
    ),
    ...[1, 8, 64, 1000].map(
      (channels): MadeUp => ({
        ...{ experiment: 'count', ...native, point: { channels, bytes: 64 }, path: 'channel', ...ns },
        median: 1000 + 100 * Math.log2(channels),
      }),
    ),
  ];
  const detection = [2, 8, 64].flatMap((members): MadeUp[] =>
    [
      ['event', 3e6 + members * 2e4],
      ['poll-1s', 5e8],
    ].map(([path, median]) => ({
      ...{
        experiment: 'detection',
        ...native,
        point: { members, change: 'leave' },
        path: String(path),
        single: true,
      },
      ...{ metric: 'time', unit: 'ns', better: 'lower', median: Number(median), spread: 0.4 },
    })),
  );
  const switches = ['to-tcp', 'to-shared-memory'].map(
    (direction): MadeUp => ({
      ...{ experiment: 'switch', ...native, point: { direction }, path: 'shared-memory' },
      ...{ metric: 'stall', unit: 'ns', better: 'lower', median: 3e6 },
    }),
  );
  const factors = (
    [
      ['ring-depth', [16, 256, 4096], [600, 420, 430]],
      ['wait-strategy', ['spin', 'event-loop', 'sleep'], [420, 1040, 64_000]],
      ['burst', [1, 32], [90, 30]],
    ] as const
  ).flatMap(([factor, levels, medians]) =>
    levels.map(
      (level, index): MadeUp => ({
        ...{ experiment: 'factors', ...native, point: { factor, level, bytes: 64 }, path: 'channel', ...ns },
        median: medians[index]!,
      }),
    ),
  );
  const others: MadeUp[] = [
    { experiment: 'noise', ...native, point: { bytes: 64 }, path: 'channel', ...ns, median: 420 },
    { experiment: 'noise', ...native, point: { bytes: 64 }, path: 'channel-again', ...ns, median: 420 },
    {
      experiment: 'dsm',
      ...native,
      point: { access: 'sequential' },
      path: 'space',
      metric: 'time',
      unit: 'ns',
      better: 'lower',
      median: 1,
    },
    {
      experiment: 'dsm',
      ...native,
      point: { access: 'sequential' },
      path: 'private',
      metric: 'time',
      unit: 'ns',
      better: 'lower',
      median: 0.99,
    },
    {
      experiment: 'applications',
      ...vm,
      point: { app: 'redis' },
      path: 'tun',
      metric: 'rate',
      unit: 'op/s',
      better: 'higher',
      median: 1000,
    },
    {
      experiment: 'applications',
      ...vm,
      point: { app: 'redis' },
      path: 'virtio-net',
      metric: 'rate',
      unit: 'op/s',
      better: 'higher',
      median: 800,
    },
    {
      experiment: 'applications',
      ...vm,
      point: { app: '<script>throw 1</script>' },
      path: 'tun',
      metric: 'rate',
      unit: 'op/s',
      better: 'higher',
      median: 1,
      failed: 'the guest said "<b>no</b>" & left',
    },
    {
      experiment: 'applications',
      ...vm,
      point: { app: 'etcd' },
      path: 'tun',
      metric: 'rate',
      unit: 'op/s',
      better: 'higher',
      median: 1,
      absent: 'etcd is not installed',
    },
    ...['channel', 'tcp'].map(
      (path): MadeUp => ({
        experiment: 'cost',
        ...native,
        point: { bytes: 65_536 },
        path,
        metric: 'cpu',
        unit: 's/GiB',
        better: 'lower',
        median: path === 'tcp' ? 1.3 : 0.2,
      }),
    ),
  ];
  return [...size, ...mix, ...count, ...detection, ...switches, ...factors, ...others];
}

export const madeUpMachine: StudyMachine = {
  name: 'test <machine>',
  at: '2026-01-02T03:04:05.000Z',
  cpu: 'A processor',
  cpus: 2,
  memoryGiB: 8,
  hypervisor: true,
  caches: ['L1 Data 32K shared by CPUs 0'],
  kernel: '6.1',
  kernelOptions: '',
  node: 'v20',
  version: '0.1.0',
  commit: 'abcdef0',
  qemu: 'QEMU 7.2',
  accelerator: 'tcg',
  mitigations: { meltdown: 'Mitigation: PTI' },
  load: [0.1, 0.2, 0.3],
};

/** Samples of some rounds around the medians, the same for the same seed. */
export function samplesOf(figures: readonly MadeUp[], rounds: number, seed: number): Sample[] {
  const random = randomSource(seed);
  const samples: Sample[] = [];
  for (let round = 1; round <= rounds; round++)
    for (const { median, spread = 0.05, single, noisy, failed, absent, ...planned } of figures) {
      if (absent !== undefined) continue;
      const value = median * (1 + spread * (random() - 0.5));
      const times = new Times();
      if (single) for (let i = 0; i < 2000; i++) times.add(value * (1 + 0.2 * -Math.log(1 - random())));
      samples.push({
        ...planned,
        ...{ round, at: madeUpMachine.at, value: failed === undefined ? value : null },
        ...(single ? { histogram: times.encode() } : {}),
        ...(noisy === undefined ? {} : { noisy }),
        ...(failed === undefined ? {} : { failed }),
      });
    }
  return samples;
}

export function planOf(figures: readonly MadeUp[], rounds: number): Plan {
  const points = figures.map(({ median, spread, single, noisy, failed, ...planned }): Planned => planned);
  return {
    ...{ format: 1, rounds, quick: true, seed: 1, ms: 100, warmUpMs: 400 },
    ...{ cpus: [0, 1], maxOthers: 0.1, points },
  };
}

/** A study's folder, removed with the test. */
export function writeStudy(t: Test, figures: readonly MadeUp[], { rounds = 5, seed = 1 } = {}): string {
  const folder = testFolder(t);
  const inside = join(folder, `study-${seed}`);
  mkdirSync(inside);
  const lines = samplesOf(figures, rounds, seed).map((sample) => `${JSON.stringify(sample)}\n`);
  writeFileSync(join(inside, 'machine.json'), JSON.stringify(madeUpMachine));
  writeFileSync(join(inside, 'plan.json'), JSON.stringify(planOf(figures, rounds)));
  writeFileSync(join(inside, 'samples.jsonl'), lines.join(''));
  return inside;
}
