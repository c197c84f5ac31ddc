import path from 'node:path';
import { benchRoot, buildContestants, outFolder } from '../harness/build.ts';
import { describeMachine } from '../harness/machine.ts';
import { printMachine, printReport } from '../harness/report.ts';
import { detailsFile, writeResults } from '../harness/results.ts';
import { makeRows } from '../harness/rows.ts';
import { run } from '../harness/schedule.ts';
import { coreBenchmarks } from './benchmarks.ts';

export interface CoreOptions {
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
}

/** `bench core`: builds, runs, prints, writes. Exit status 1 when the product or a floor gave no number. */
export async function runCore(options: CoreOptions): Promise<void> {
  const print = (line: string) => void process.stdout.write(`${line}\n`);
  const progress = (line: string) => void process.stderr.write(`${line}\n`);
  process.env.BENCH_ROOT = benchRoot;
  progress('building the contestants');
  await buildContestants(['stream', 'zeromq', 'ours', 'ours-server']);
  const benchmarks = chosen(options);
  const machine = describeMachine();
  printMachine(machine, print);
  const settings = {
    rounds: options.rounds ?? (options.quick ? 3 : 7),
    ms: options.ms ?? (options.quick ? 60 : 300),
    cpus: options.cpus.split(',').map(Number) as [number, number],
    seed: options.seed,
    maxOthers: options.maxOthers,
    maxRetries: 3,
    patienceMs: options.patience * 1000,
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

function chosen({ only, contestants }: CoreOptions) {
  const ids = only?.split(',');
  const names = contestants?.split(',');
  const benchmarks = coreBenchmarks();
  const unknown = ids?.filter((id) => !benchmarks.some((b) => b.id === id)) ?? [];
  if (unknown.length > 0) {
    process.stderr.write(
      `no such benchmark: ${unknown.join(', ')}; there are ${benchmarks.map((b) => b.id).join(', ')}\n`,
    );
    process.exit(2);
  }
  return benchmarks
    .filter((b) => !ids || ids.includes(b.id))
    .map((b) => ({ ...b, contestants: b.contestants.filter((c) => !names || names.includes(c.name)) }));
}
