import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { benchRoot, buildContestants, bundleAs, bundlePrograms, outFolder } from '../harness/build.ts';
import { print, progress } from '../harness/lines.ts';
import { describeMachine } from '../harness/machine.ts';
import { type SamplingOptions, samplingOf } from '../harness/options.ts';
import { printMachine } from '../harness/report.ts';
import { connectItem, nativeHttpItem, stallItem, streamItems } from './benchmarks.ts';
import { choose } from './choose.ts';
import { NativePairs } from './native-pairs.ts';
import { finish } from './report.ts';
import { type Settings, takeAll } from './schedule.ts';

export interface SocketsOptions extends SamplingOptions {
  readonly only?: string;
  readonly contestants?: string;
  readonly profile?: string;
}

/** `bench sockets`: two processes of this host. Exit status 1 when the product gave no number. */
export async function runSockets(options: SocketsOptions): Promise<void> {
  process.env.BENCH_ROOT = benchRoot;
  progress('building the programs');
  await buildContestants(['ours-server']);
  const sources = ['programs/sockets-end.ts', 'programs/http-end.ts'];
  const [end, http] = await bundlePrograms(
    sources.map((name) => fileURLToPath(new URL(name, import.meta.url))),
  );
  const transparent = await bundleAs(
    'transparent',
    new URL('../../src/transparent/index.ts', import.meta.url),
  );
  const items = choose([...streamItems(), nativeHttpItem, connectItem, stallItem], options);
  const machine = describeMachine();
  printMachine(machine, print);
  const { cpus, ...sampling } = samplingOf(
    options,
    { rounds: 5, ms: 250, maxRetries: 3 },
    { rounds: 1, ms: 80, maxRetries: 0 },
  );
  const settings: Settings = {
    ...sampling,
    warmUpMs: options.quick ? 60 : 150,
    budgetMs: 60_000,
    leastBytes: options.quick ? 1 << 20 : 4 << 20,
    probe: [path.join(outFolder, 'line'), '--cpu-a', `${cpus[0]}`, '--cpu-b', `${cpus[1]}`, '--ms', '10'],
  };
  const { rounds, ms, seed } = settings;
  print(`${rounds} rounds of ${ms} ms, CPUs ${cpus.join(' and ')}, seed ${seed}`);
  const programs = { end: end!, http: http!, transparent, server: path.join(outFolder, 'ours-server.mjs') };
  const flags = options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`];
  const began = performance.now();
  const outcome = await takeAll(items, settings, () => NativePairs.start(programs, cpus, flags), progress);
  print(`took ${((performance.now() - began) / 1000).toFixed(0)} s`);
  finish(items, outcome, { benchmark: 'sockets', machine, settings }, options.json, print);
}
