import type { Surroundings } from '../../../src/study/disturbance.ts';
import type { Plan, Planned } from '../../../src/study/results.ts';
import { type Job, type Suite, suiteOf, type Tools } from '../../../src/study/suite.ts';

/** A clock that goes forward only when it is told to, and a machine on which others do what the test says. */
export class FakeMachine implements Surroundings {
  ms = 0;
  others = 0;
  lineNs: number | null = 100;

  now(): number {
    return this.ms;
  }

  date(): Date {
    return new Date(Date.UTC(2026, 0, 1) + this.ms);
  }

  async line(): Promise<number | null> {
    return this.lineNs;
  }

  watch(): () => number {
    return () => this.others;
  }
}

/** What the fake contestants did, in order. */
export interface Deed {
  readonly path: string;
  readonly round: number;
}

/** Paths of one point; each sample takes a second of the fake clock, and gives its round. */
export class FakeSuite {
  readonly deeds: Deed[] = [];
  readonly opened: number[] = [];
  readonly closed: number[] = [];
  ended = 0;
  readonly suite: Suite;
  /** Called before each sample; may throw. */
  before: (deed: Deed) => void = () => {};

  constructor(machine: FakeMachine, paths: readonly string[], experiment = 'size') {
    const jobs = paths.map(
      (path): Job<Tools & { readonly round: number }> => ({
        planned: plannedOf(path, experiment),
        take: async ({ round }) => {
          const deed = { path, round };
          machine.ms += 1000;
          this.before(deed);
          this.deeds.push(deed);
          const beside = {
            metric: 'cpu',
            unit: 's/GiB',
            better: 'lower',
            value: 1,
            experiment: 'cost',
          } as const;
          return { value: round, beside: [beside] };
        },
      }),
    );
    this.suite = suiteOf(
      jobs,
      async (round) => {
        this.opened.push(round);
        return { round, pids: [], [Symbol.asyncDispose]: async () => void this.closed.push(round) };
      },
      { close: async () => void this.ended++ },
    );
  }
}

export function plannedOf(path: string, experiment = 'size'): Planned {
  const metric = { metric: 'throughput', unit: 'B/s', better: 'higher' } as const;
  return { experiment, where: 'native', point: { bytes: 64 }, path, ...metric };
}

export function planOf(points: readonly Planned[], rounds = 3): Plan {
  const pace = { ms: 1, warmUpMs: 1, cpus: [0, 1] };
  return { format: 1, quick: true, seed: 7, maxOthers: 0.1, rounds, ...pace, points: [...points] };
}
