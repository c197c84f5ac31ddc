import { type CpuTime, othersShare, quiet, readCpuTime } from '../../src/study/cpu-time.ts';
import { execute } from './execute.ts';
import { randomSource, shuffled } from './statistics.ts';
import type { Benchmark, Contestant, HostSample, Measurement, Placement, Sample } from './types.ts';

export interface Settings {
  readonly rounds: number;
  /** Length of one sample, milliseconds. */
  readonly ms: number;
  readonly cpus: readonly [number, number];
  readonly seed: number;
  /** Share of one CPU that others may use during a sample before it is taken again. */
  readonly maxOthers: number;
  readonly maxRetries: number;
  /** How long to wait for others to be quiet before a sample is taken again, milliseconds. */
  readonly patienceMs: number;
  /** The C cache-line ping-pong. */
  readonly probe: string;
}

export interface Outcome {
  readonly samples: readonly Sample[];
  /** `id name` of contestants that failed, with the reason of the last failure. */
  readonly failures: ReadonlyMap<string, string>;
}

/** Takes `rounds` samples of every contestant of every benchmark, each round in a new random order. */
export async function run(
  benchmarks: readonly Benchmark[],
  settings: Settings,
  progress: (line: string) => void,
): Promise<Outcome> {
  const random = randomSource(settings.seed);
  const samples: Sample[] = [];
  const failures = new Map<string, string>();
  for (let round = 1; round <= settings.rounds; round++) {
    for (const benchmark of shuffled(benchmarks, random)) {
      const able = benchmark.contestants.filter((c) => c.absent === undefined);
      for (const contestant of shuffled(able, random)) {
        const label = `${benchmark.id} ${contestant.name}`;
        try {
          const sample = await takeSample(benchmark.id, contestant, round, settings);
          samples.push(sample);
          progress(
            `round ${round}/${settings.rounds}  ${label}: ${sample.value.toPrecision(4)} ${benchmark.unit}` +
              `  (line ${sample.lineNs.toFixed(0)} ns, ${sample.placement}; others ${(sample.others * 100).toFixed(0)} %)`,
          );
        } catch (error) {
          failures.set(label, (error as Error).message);
          progress(`round ${round}/${settings.rounds}  ${label}: FAILED: ${(error as Error).message}`);
        }
      }
    }
  }
  return { samples, failures };
}

async function takeSample(
  id: string,
  contestant: Contestant,
  round: number,
  settings: Settings,
): Promise<HostSample> {
  const pins = ['--cpu-a', String(settings.cpus[0]), '--cpu-b', String(settings.cpus[1])];
  // The criterion for repeating is what others did to the machine, never the value measured.
  for (let retries = 0; ; retries++) {
    const line = await execute([settings.probe, ...pins, '--ms', '10']);
    const before: CpuTime = readCpuTime();
    const measured: Measurement = await execute([
      ...contestant.command,
      ...pins,
      '--ms',
      String(settings.ms),
    ]);
    const others = othersShare(before, readCpuTime());
    if (others > settings.maxOthers && retries < settings.maxRetries) {
      await quiet(settings.maxOthers, settings.patienceMs);
      continue;
    }
    const { value, batches } = measured;
    const placement = placementOf(line.value);
    return {
      id,
      name: contestant.name,
      round,
      value,
      batches,
      lineNs: line.value,
      placement,
      others,
      retries,
    };
  }
}

/** Which of the three distances between the two virtual CPUs holds now: the host may move them at any time. */
export function placementOf(lineNs: number): Placement {
  return lineNs < 90 ? 'near' : lineNs <= 200 ? 'mid' : 'far';
}
