import { fileURLToPath } from 'node:url';
import { accelerator, machineLine } from '../../qemu/facts.ts';
import { launchPair } from '../../qemu/pair.ts';
import { pinVirtualCpus } from '../../qemu/pin.ts';
import { print, progress } from '../harness/lines.ts';
import { describeMachine } from '../harness/machine.ts';
import { type SamplingOptions, samplingOf } from '../harness/options.ts';
import { printReport } from '../harness/report.ts';
import { detailsFile, writeResults } from '../harness/results.ts';
import { makeRows } from '../harness/rows.ts';
import { median } from '../harness/statistics.ts';
import type { Sample } from '../harness/types.ts';
import { vmBenchmarks } from './benchmarks.ts';
import { Sampler } from './sampling.ts';

const regionBytes = 64 << 20;

/** `bench vm`: boots two VMs, measures in them, prints, writes. Exit status 1 when a sample is missing. */
export async function runVm(options: SamplingOptions): Promise<void> {
  const settings = samplingOf(
    options,
    { rounds: 5, ms: 1000, maxRetries: 3 },
    { rounds: 3, ms: 400, maxRetries: 0 },
  );
  const machine = describeMachine();
  const samples: Sample[] = [];
  const failures = new Map<string, string>();
  const program = fileURLToPath(new URL('guest.ts', import.meta.url));
  const commands: string[] = [];
  const log = (line: string) => void (line.includes(' -nodefaults ') ? commands.push(line) : progress(line));
  const pair = await launchPair({ region: 'bench', regionBytes, program, say: progress, log });
  try {
    const { a, b, addressOfB } = pair;
    progress('booting two VMs');
    const answer = await pair.start(b, 'answer');
    await answer.waitFor(/ready\n/);
    // Left alone, the scheduler puts both polling virtual CPUs on one processor now and then, for milliseconds.
    for (const [index, vm] of [a, b].entries()) await pinVirtualCpus(vm, settings.cpus[index]!);
    const measure = await pair.start(a, 'measure', '--host', addressOfB);
    await measure.waitFor(/ready\n/);
    try {
      for await (const sample of new Sampler(measure, [a.pid, b.pid]).run(settings)) {
        samples.push(sample);
        const { id, name, round, value, others } = sample;
        progress(
          `round ${round}/${settings.rounds}  ${id} ${name}: ${value.toPrecision(4)}  (others ${(others * 100).toFixed(0)} %)`,
        );
      }
    } catch (error) {
      const said = answer.stderr ? `; the answering guest said: ${answer.stderr}` : '';
      failures.set('measure', `${(error as Error).message}${said}`);
    }
  } finally {
    await pair.close();
  }
  const where = await accelerator();
  const line = await machineLine();
  const benchmarks = vmBenchmarks(where);
  const rows = makeRows(benchmarks, samples);
  print(`${line}, load ${machine.load.map((l) => l.toFixed(2)).join(' ')}`);
  print(
    `${settings.rounds} rounds of ${settings.ms} ms, one virtual CPU in each VM, on CPUs ${settings.cpus.join(' and ')}, seed ${settings.seed}`,
  );
  printReport(benchmarks, rows, { samples, failures }, print);
  const disturbed = samples.length > 0 ? median(samples.map((s) => s.others)) : 0;
  if (disturbed > settings.maxOthers) {
    const share = (disturbed * 100).toFixed(0);
    print(
      `\nothers used ${share} % of a CPU: the two polling guests did not have one each, a look and no result`,
    );
  }
  if (options.json) {
    const details = { machine: { ...machine, line, accelerator: where }, settings, commands, samples };
    writeResults(options.json, rows, { ...details, failures: Object.fromEntries(failures) });
    print(`\nrows: ${options.json}; raw samples and machine: ${detailsFile(options.json)}`);
  }
  const failed = failures.get('measure');
  if (failed === undefined) return;
  print(`\nnot every sample was taken: ${failed}`);
  process.exitCode = 1;
}
