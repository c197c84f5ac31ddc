import type { GuestProcess } from '../../qemu/guest-process.ts';
import { othersShare, quiet, readCpuTime } from '../../src/study/cpu-time.ts';
import { oursName } from '../harness/rows.ts';
import { randomSource, shuffled } from '../harness/statistics.ts';
import type { Sample } from '../harness/types.ts';
import { baselineName } from './benchmarks.ts';
import { type Command, type GuestSample, type Order, orders, type Path, rowId } from './orders.ts';

export interface Settings {
  readonly rounds: number;
  /** Length of one sample, milliseconds. */
  readonly ms: number;
  readonly seed: number;
  /** Share of one CPU that others may use during a sample before it is taken again. */
  readonly maxOthers: number;
  readonly maxRetries: number;
  /** How long to wait for others to be quiet before a sample is taken again, milliseconds. */
  readonly patienceMs: number;
}

/** Longest wait for one sample, milliseconds: far above any, so that a hang is told from an emulated machine. */
const limitMs = 120_000;
const paths: readonly Path[] = ['channel', 'tcp'];

/** Asks one measuring guest for samples. */
export class Sampler {
  readonly #measure: GuestProcess;
  /** The two QEMUs, whose work is not that of others. */
  readonly #pids: readonly number[];
  /** Lines the guest has printed; the first was `ready`. */
  #lines = 1;

  constructor(measure: GuestProcess, pids: readonly number[]) {
    this.#measure = measure;
    this.#pids = pids;
  }

  /** `rounds` samples of each path of each order, each round in a new random order. @throws Error when the guest fails. */
  async *run(settings: Settings): AsyncGenerator<Sample> {
    const random = randomSource(settings.seed);
    const all = orders.flatMap((order) => paths.map((path) => ({ order, path })));
    for (let round = 1; round <= settings.rounds; round++) {
      for (const { order, path } of shuffled(all, random))
        yield await this.#take(order, path, round, settings);
    }
  }

  async #take(order: Order, path: Path, round: number, settings: Settings): Promise<Sample> {
    const { ms, maxOthers, maxRetries, patienceMs } = settings;
    // The criterion for repeating is what others did to the machine, never the value measured.
    for (let retries = 0; ; retries++) {
      const before = readCpuTime(this.#pids);
      const { value, batches } = await this.#ask({ ...order, path, ms });
      const others = othersShare(before, readCpuTime(this.#pids));
      if (others > maxOthers && retries < maxRetries) {
        await quiet(maxOthers, patienceMs, this.#pids);
        continue;
      }
      const name = path === 'channel' ? oursName : baselineName;
      return { id: rowId(order), name, round, value, batches, others, retries };
    }
  }

  async #ask(command: Command): Promise<GuestSample> {
    this.#measure.write(`${JSON.stringify(command)}\n`);
    this.#lines++;
    const [text] = await this.#measure.waitFor(new RegExp(`^(?:.*\\n){${this.#lines}}`), limitMs);
    return JSON.parse(text.trimEnd().split('\n').at(-1)!) as GuestSample;
  }
}
