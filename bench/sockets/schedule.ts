import { type CpuTime, othersShare, quiet, readCpuTime } from '../../src/study/cpu-time.ts';
import { execute } from '../harness/execute.ts';
import { placementOf } from '../harness/schedule.ts';
import { randomSource, shuffled } from '../harness/statistics.ts';
import type { Sample } from '../harness/types.ts';
import type { Item, Sampling, Way } from './benchmarks.ts';
import type { Taken } from './commands.ts';
import type { Pair } from './pair.ts';

export interface Settings extends Sampling {
  readonly rounds: number;
  readonly seed: number;
  /** Share of one CPU that others may use during a sample before it is taken again. */
  readonly maxOthers: number;
  readonly maxRetries: number;
  /** How long to wait for others to be quiet before that, milliseconds. */
  readonly patienceMs: number;
  /** When samples that are taken again, and the waits for it, took so long in the whole run, none is any more. */
  readonly budgetMs: number;
  /** The C cache-line ping-pong and its flags, for two processes of a host. */
  readonly probe?: readonly string[];
}

export interface SocketSample extends Sample {
  readonly raw?: Taken['raw'];
}

export interface Outcome {
  readonly samples: SocketSample[];
  /** `id name` of what failed, with the reason of its last failure. */
  readonly failures: Map<string, string>;
}

/** Where pairs come from: made when first asked for, made anew after a failure. */
export interface Pairs {
  get(name: string): Promise<Pick<Pair, 'ask'>>;
  /** The pair failed. */
  drop(name: string): Promise<void>;
  /** Everything whose CPU time is not that of others. */
  readonly pids: readonly number[];
}

/** `rounds` samples of every way of every item, each round with new pairs and in a new random order. */
export async function takeAll(
  items: readonly Item[],
  settings: Settings,
  round: (round: number) => Promise<Pairs & AsyncDisposable>,
  progress: (line: string) => void,
): Promise<Outcome> {
  const random = randomSource(settings.seed);
  const outcome: Outcome = { samples: [], failures: new Map() };
  const taker = new Taker(settings);
  for (let number = 1; number <= settings.rounds; number++) {
    await using pairs = await round(number);
    for (const item of shuffled(items, random)) {
      for (const way of shuffled(item.ways, random)) {
        const label = `${item.id} ${way.name}`;
        const at = `round ${number}/${settings.rounds}  ${label}`;
        try {
          const sample = await taker.take(item, way, number, pairs);
          outcome.samples.push(sample);
          progress(`${at}: ${sample.value.toPrecision(4)} ${item.unit}  (${noteOf(sample)})`);
        } catch (error) {
          outcome.failures.set(label, (error as Error).message);
          progress(`${at}: FAILED: ${(error as Error).message}`);
          await pairs.drop(way.pair);
        }
      }
    }
  }
  return outcome;
}

function noteOf({ lineNs, others, retries }: SocketSample): string {
  const line = lineNs === undefined ? '' : `line ${lineNs.toFixed(0)} ns, ${placementOf(lineNs)}; `;
  return `${line}others ${(others * 100).toFixed(0)} %${retries > 0 ? `, take ${retries + 1}` : ''}`;
}

class Taker {
  readonly #settings: Settings;
  /** Milliseconds that went into samples taken again. */
  #wasted = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  async take(item: Item, way: Way, round: number, pairs: Pairs): Promise<SocketSample> {
    const { maxOthers, maxRetries, patienceMs, budgetMs, probe, ms, warmUpMs, leastBytes } = this.#settings;
    const pair = await pairs.get(way.pair);
    // The criterion for repeating is what others did to the machine, never the value measured.
    for (let retries = 0; ; retries++) {
      const began = performance.now();
      const line = probe === undefined ? undefined : await execute(probe);
      const before: CpuTime = readCpuTime(pairs.pids);
      const { value, batches, raw } = await pair.ask(item.command(way, { ms, warmUpMs, leastBytes }));
      const others = othersShare(before, readCpuTime(pairs.pids));
      if (others > maxOthers && retries < maxRetries && this.#wasted < budgetMs) {
        await quiet(maxOthers, patienceMs, pairs.pids);
        this.#wasted += performance.now() - began;
        continue;
      }
      return {
        ...{ id: item.id, name: way.name, round, value, batches, others, retries },
        ...(line === undefined ? {} : { lineNs: line.value }),
        ...(raw === undefined ? {} : { raw }),
      };
    }
  }
}
