import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { benchRoot, buildContestants, bundlePrograms, outFolder } from '../harness/build.ts';
import { describeMachine } from '../harness/machine.ts';
import { printMachine, printReport } from '../harness/report.ts';
import { detailsFile, writeResults } from '../harness/results.ts';
import { makeRows } from '../harness/rows.ts';
import { run } from '../harness/schedule.ts';
import type { Row } from '../harness/types.ts';
import { type DsmBenchmark, dsmBenchmarks } from './benchmarks.ts';

export interface DsmOptions {
  readonly json?: string;
  readonly rounds?: number;
  readonly ms?: number;
  readonly quick: boolean;
  readonly only?: string;
  readonly cpus: string;
  readonly seed: number;
  readonly maxOthers: number;
  readonly patience: number;
}

/** `bench dsm`: builds, runs, prints, writes. Exit status 1 when anything gave no number. */
export async function runDsm(options: DsmOptions): Promise<void> {
  const print = (line: string) => void process.stdout.write(`${line}\n`);
  const progress = (line: string) => void process.stderr.write(`${line}\n`);
  const benchmarks = chosen(options);
  progress('building the programs');
  await buildContestants(['ours-server']);
  const programs = ['dsm-pieces', 'dsm-app'].map((name) => new URL(`programs/${name}.ts`, import.meta.url));
  await bundlePrograms(programs.map((url) => fileURLToPath(url)));
  process.env.BENCH_ROOT = benchRoot;
  const machine = describeMachine();
  printMachine(machine, print);
  const settings = {
    rounds: options.rounds ?? (options.quick ? 1 : 5),
    ms: options.ms ?? (options.quick ? 40 : 300),
    cpus: options.cpus.split(',').map(Number) as [number, number],
    seed: options.seed,
    maxOthers: options.maxOthers,
    maxRetries: options.quick ? 0 : 3,
    patienceMs: options.patience * 1000,
    probe: path.join(outFolder, 'line'),
  };
  const { rounds, ms, cpus, seed } = settings;
  print(`${rounds} rounds of ${ms} ms, CPUs ${cpus.join(' and ')}, seed ${seed}`);
  const outcome = await run(benchmarks, settings, progress);
  const rows = judged(benchmarks, makeRows(benchmarks, outcome.samples));
  printReport(benchmarks, rows, outcome, print);
  print('');
  for (const { id, baselineName, target } of rows)
    for (const { text, met } of target ?? [])
      print(`${met ? 'met   ' : 'MISSED'}  ${id}: ${text} (${baselineName})`);
  if (options.json) {
    const failures = Object.fromEntries(outcome.failures);
    writeResults(options.json, rows, { machine, settings, samples: outcome.samples, failures });
    print(`\nrows: ${options.json}; raw samples and machine: ${detailsFile(options.json)}`);
  }
  const missing = benchmarks.flatMap(({ id, contestants }) =>
    contestants.flatMap(({ name }) =>
      outcome.samples.some((sample) => sample.id === id && sample.name === name) ? [] : [`${id} ${name}`],
    ),
  );
  if (missing.length === 0) return;
  print(`\nno number from: ${missing.join(', ')}`);
  process.exitCode = 1;
}

/** The rows with the goals of each, and whether they were met. */
export function judged(benchmarks: readonly DsmBenchmark[], rows: readonly Row[]): Row[] {
  return rows.map((row) => {
    const goals = benchmarks.find(({ id }) => id === row.id)?.goals ?? [];
    const target = goals
      .filter(({ baselineName }) => baselineName === row.baselineName)
      .map(({ text, met }) => ({ text, met: met(row.ours, row.baseline) }));
    return target.length === 0 ? row : { ...row, target };
  });
}

function chosen({ only }: DsmOptions): DsmBenchmark[] {
  const all = dsmBenchmarks();
  const ids = only?.split(',') ?? all.map(({ id }) => id);
  const unknown = ids.filter((id) => !all.some((benchmark) => benchmark.id === id));
  if (unknown.length > 0) {
    process.stderr.write(
      `no such benchmark: ${unknown.join(', ')}; there are ${all.map(({ id }) => id).join(', ')}\n`,
    );
    process.exit(2);
  }
  return all.filter(({ id }) => ids.includes(id));
}
