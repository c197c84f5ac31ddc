import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { benchRoot, buildContestants, bundleAs, bundlePrograms, outFolder } from '../harness/build.ts';
import { describeMachine } from '../harness/machine.ts';
import { printMachine } from '../harness/report.ts';
import { connectItem, nativeHttpItem, stallItem, streamItems } from './benchmarks.ts';
import { choose } from './choose.ts';
import { NativePairs } from './native-pairs.ts';
import { finish } from './report.ts';
import { type Settings, takeAll } from './schedule.ts';

export interface SocketsOptions {
  readonly json?: string;
  readonly rounds?: number;
  readonly ms?: number;
  readonly quick: boolean;
  readonly only?: string;
  readonly contestants?: string;
  readonly cpus: string;
  readonly seed: number;
  readonly maxOthers: number;
  readonly patience: number;
  readonly profile?: string;
}

/** `bench sockets`: two processes of this host. Exit status 1 when the product gave no number. */
export async function runSockets(options: SocketsOptions): Promise<void> {
  const print = (line: string) => void process.stdout.write(`${line}\n`);
  const progress = (line: string) => void process.stderr.write(`${line}\n`);
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
  const cpus = options.cpus.split(',').map(Number) as [number, number];
  const settings: Settings = {
    rounds: options.rounds ?? (options.quick ? 1 : 5),
    ms: options.ms ?? (options.quick ? 80 : 250),
    warmUpMs: options.quick ? 60 : 150,
    seed: options.seed,
    maxOthers: options.maxOthers,
    maxRetries: options.quick ? 0 : 3,
    patienceMs: options.patience * 1000,
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
