import path from 'node:path';
import { benchRoot, buildContestants, outFolder } from '../harness/build.ts';
import { print, progress } from '../harness/lines.ts';
import { describeMachine } from '../harness/machine.ts';
import { chosen, type SamplingOptions, samplingOf } from '../harness/options.ts';
import { printMachine, printReport } from '../harness/report.ts';
import { detailsFile, writeResults } from '../harness/results.ts';
import { makeRows } from '../harness/rows.ts';
import { run } from '../harness/schedule.ts';
import { coreBenchmarks } from './benchmarks.ts';

export interface CoreOptions extends SamplingOptions {
  readonly only?: string;
  readonly contestants?: string;
}

/** `bench core`: builds, runs, prints, writes. Exit status 1 when the product or a floor gave no number. */
export async function runCore(options: CoreOptions): Promise<void> {
  process.env.BENCH_ROOT = benchRoot;
  progress('building the contestants');
  await buildContestants(['stream', 'zeromq', 'ours', 'ours-server']);
  const names = options.contestants?.split(',');
  const benchmarks = chosen(coreBenchmarks(), options.only).map((benchmark) => ({
    ...benchmark,
    contestants: benchmark.contestants.filter(({ name }) => !names || names.includes(name)),
  }));
  const machine = describeMachine();
  printMachine(machine, print);
  const settings = {
    ...samplingOf(options, { rounds: 7, ms: 300, maxRetries: 3 }, { rounds: 3, ms: 60, maxRetries: 3 }),
    probe: path.join(outFolder, 'line'),
  };
  print(
    `${settings.rounds} rounds of ${settings.ms} ms, CPUs ${settings.cpus.join(' and ')}, seed ${settings.seed}`,
  );
  const outcome = await run(benchmarks, settings, progress);
  const rows = makeRows(benchmarks, outcome.samples);
  printReport(benchmarks, rows, outcome, print);
  if (options.json) {
    const { samples, failures } = outcome;
    writeResults(options.json, rows, { machine, settings, samples, failures: Object.fromEntries(failures) });
    print(`\nrows: ${options.json}; raw samples and machine: ${detailsFile(options.json)}`);
  }
  const essential = [...outcome.failures.keys()].filter((label) => / (ours|1-channel|c-.*)$/.test(label));
  const missing = essential.filter((label) => !outcome.samples.some((s) => `${s.id} ${s.name}` === label));
  if (missing.length > 0) {
    print(`\nno number from: ${missing.join(', ')}`);
    process.exitCode = 1;
  }
}
