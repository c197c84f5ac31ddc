import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { benchRoot, buildContestants, bundlePrograms, outFolder } from '../harness/build.ts';
import { print, progress } from '../harness/lines.ts';
import { describeMachine } from '../harness/machine.ts';
import { chosen, type SamplingOptions, samplingOf } from '../harness/options.ts';
import { printMachine, printReport } from '../harness/report.ts';
import { detailsFile, writeResults } from '../harness/results.ts';
import { makeRows } from '../harness/rows.ts';
import { run } from '../harness/schedule.ts';
import type { Row } from '../harness/types.ts';
import { type DsmBenchmark, dsmBenchmarks } from './benchmarks.ts';
import { makePapers, PAPERS_FOLDER } from './hosts/certificates.ts';

/** At most, for what is measured over two hosts. */
const HOSTS_ROUNDS = 3;

export interface DsmOptions extends SamplingOptions {
  readonly only?: string;
}

/** `bench dsm`: builds, runs, prints, writes. Exit status 1 when anything gave no number. */
export async function runDsm(options: DsmOptions): Promise<void> {
  const benchmarks = chosen(dsmBenchmarks(), options.only);
  progress('building the programs');
  await buildContestants(['ours-server']);
  const programs = ['dsm-pieces', 'dsm-app', 'dsm-remote', 'dsm-wire', 'dsm-host'].map(
    (name) => new URL(`programs/${name}.ts`, import.meta.url),
  );
  await bundlePrograms(programs.map((url) => fileURLToPath(url)));
  makePapers(path.join(outFolder, PAPERS_FOLDER));
  process.env.BENCH_ROOT = benchRoot;
  const machine = describeMachine();
  printMachine(machine, print);
  const settings = {
    ...samplingOf(options, { rounds: 5, ms: 300, maxRetries: 3 }, { rounds: 1, ms: 40, maxRetries: 0 }),
    probe: path.join(outFolder, 'line'),
  };
  const { rounds, ms, cpus, seed } = settings;
  print(`${rounds} rounds of ${ms} ms, CPUs ${cpus.join(' and ')}, seed ${seed}`);
  const sampled = (hosts: boolean, most: number) =>
    run(
      benchmarks.filter((one) => (one.hosts ?? false) === hosts),
      { ...settings, rounds: Math.min(rounds, most) },
      progress,
    );
  const [near, far] = [await sampled(false, rounds), await sampled(true, HOSTS_ROUNDS)];
  const outcome = {
    samples: [...near.samples, ...far.samples],
    failures: new Map([...near.failures, ...far.failures]),
  };
  const rows = judged(benchmarks, makeRows(benchmarks, outcome.samples));
  printReport(benchmarks, rows, outcome, print);
  print('');
  for (const { id, baselineName, target } of rows)
    for (const { text, met } of target ?? [])
      print(`${met ? 'met   ' : 'MISSED'}  ${id}: ${text} (${baselineName})`);
  if (options.json) {
    const failed = Object.fromEntries(outcome.failures);
    const details = { benchmark: 'dsm', machine, settings, samples: outcome.samples, failed };
    writeResults(options.json, rows, details);
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
