import type { Surroundings } from './disturbance.ts';
import { randomSource, shuffled } from './random.ts';
import { keyOf, type Plan, type Planned, pointText, type Sample } from './results.ts';
import type { SampleLog } from './sample-log.ts';
import type { Result, Round, Suite } from './suite.ts';
import { duration, TimeLeft } from './time-left.ts';

export interface RunOptions {
  readonly plan: Plan;
  /** Suites of one phase are interleaved; the phases follow one another, because VMs that run are others to everything else. */
  readonly phases: readonly (readonly Suite[])[];
  readonly log: SampleLog;
  readonly surroundings: Surroundings;
  readonly say: (line: string) => void;
  /** No sample is begun after so many milliseconds. */
  readonly budgetMs?: number;
  readonly signal?: AbortSignal;
}

export interface Outcome {
  /** Samples that were taken now, and those that gave no number. */
  readonly taken: number;
  readonly failed: number;
  /** Planned, and neither taken now nor before: the budget or an interruption ended the run. */
  readonly left: number;
}

interface Take {
  readonly planned: Planned;
  readonly index: number;
  readonly suite: Suite;
}

/**
 * Takes what is planned and not in the log yet, round by round, in each in an order of its own that follows from the seed. What
 * fails is in the log as that, and tried again by the next run in the folder.
 */
export async function runStudy(options: RunOptions): Promise<Outcome> {
  return new Runner(options).run();
}

class Runner {
  readonly #options: RunOptions;
  readonly #done: ReadonlySet<string>;
  readonly #deadline: number;
  readonly #time: TimeLeft;
  readonly #total: number;
  #taken = 0;
  #failed = 0;

  constructor(options: RunOptions) {
    this.#options = options;
    const { log, surroundings, budgetMs = Number.POSITIVE_INFINITY } = options;
    const good = log.samples.filter(({ failed }) => failed === undefined);
    this.#done = new Set(good.map((sample) => takeKey(sample, sample.round)));
    this.#deadline = surroundings.now() + budgetMs;
    const all = options.phases.flatMap((suites) =>
      this.#rounds.flatMap((round) => this.#takes(suites, round)),
    );
    this.#time = new TimeLeft(all.map(({ planned }) => planned));
    this.#total = all.length;
  }

  async run(): Promise<Outcome> {
    const { phases, say, log } = this.#options;
    const before = log.samples.length;
    say(`${this.#total} samples to take${before > 0 ? `, ${before} are there` : ''}`);
    for (const suites of phases) {
      try {
        for (const round of this.#rounds) if (!this.#over) await this.#round(suites, round);
      } finally {
        for (const suite of suites) await suite.close?.();
      }
    }
    return { taken: this.#taken, failed: this.#failed, left: this.#total - this.#taken };
  }

  get #rounds(): number[] {
    return Array.from({ length: this.#options.plan.rounds }, (_, index) => index + 1);
  }

  get #over(): boolean {
    const { surroundings, signal } = this.#options;
    return signal?.aborted === true || surroundings.now() >= this.#deadline;
  }

  #tooLateFor({ startMs }: Suite): boolean {
    return this.#options.surroundings.now() + (startMs?.() ?? 0) >= this.#deadline;
  }

  /** What is to be done in a round, in the order of a round that nothing was done in. */
  #takes(suites: readonly Suite[], round: number): Take[] {
    const random = randomSource(this.#options.plan.seed + round);
    const all = suites.flatMap((suite) => suite.planned.map((planned, index) => ({ planned, index, suite })));
    return shuffled(all, random).filter(
      ({ planned }) => planned.absent === undefined && !this.#done.has(takeKey(planned, round)),
    );
  }

  async #round(suites: readonly Suite[], round: number): Promise<void> {
    const takes = this.#takes(suites, round);
    if (takes.length === 0) return;
    const opened = new Map<Suite, Promise<Round>>();
    try {
      for (const take of takes) {
        if (this.#over) return;
        if (this.#tooLateFor(take.suite)) continue;
        let tools = opened.get(take.suite);
        if (tools === undefined) {
          tools = take.suite.open(round);
          opened.set(take.suite, tools);
        }
        await this.#take(take, round, tools);
      }
    } finally {
      for (const tools of opened.values()) {
        // One that did not open has said so in every sample.
        const round = await tools.catch(() => null);
        await round?.[Symbol.asyncDispose]();
      }
    }
  }

  async #take({ planned, index }: Take, round: number, tools: Promise<Round>): Promise<void> {
    const { surroundings, plan, log } = this.#options;
    let began = surroundings.now();
    let others = 0;
    let lineNs: number | null = null;
    let result: Result | null = null;
    let failed = '';
    try {
      const opened = await tools;
      // What starts once says nothing of how long the others will take.
      began = surroundings.now();
      lineNs = await surroundings.line();
      const watched = surroundings.watch(() => opened.pids);
      result = await opened.take(index);
      others = watched();
    } catch (error) {
      failed = (error as Error).message || 'it gave no reason';
      this.#failed++;
    }
    const common = {
      ...{ round, at: surroundings.date().toISOString(), others: Number(others.toFixed(3)) },
      ...(lineNs === null ? {} : { lineNs }),
      ...(others > plan.maxOthers ? { noisy: `others used ${others.toFixed(2)} of a processor` } : {}),
    };
    const { absent: _, ...name } = planned;
    const own: Sample = {
      ...{ ...name, ...common, value: result?.value ?? null },
      ...(result?.histogram === undefined ? {} : { histogram: result.histogram }),
      ...(failed === '' ? {} : { failed }),
    };
    const beside = (result?.beside ?? []).map((one): Sample => ({ ...name, ...one, ...common }));
    log.add([own, ...beside]);
    this.#taken++;
    this.#time.done(planned, surroundings.now() - began);
    this.#say(own);
  }

  #say({ experiment, where, path, metric, point, value, unit, failed, others, round }: Sample): void {
    const left = this.#time.estimate;
    const at = `[${this.#taken}/${this.#total}${left === null ? '' : `, ${duration(left)} left`}]`;
    const what = `${experiment} ${where} ${path} ${metric} ${pointText(point)}, round ${round}`;
    const gave = value === null ? `FAILED: ${failed}` : `${value.toPrecision(4)} ${unit}`;
    const disturbed = (others ?? 0) >= 0.01 ? ` (others ${((others ?? 0) * 100).toFixed(0)} %)` : '';
    this.#options.say(`${at} ${what}: ${gave}${disturbed}`);
  }
}

const takeKey = (one: Planned | Sample, round: number): string => `${round} ${keyOf(one)}`;
