import type { Planned, Sample } from './results.ts';

/** A figure that a sample gave beside its own: what it used, for example. What is not said is as in the sample. */
export type Beside = Pick<Sample, 'metric' | 'unit' | 'better' | 'value'> &
  Partial<Pick<Sample, 'experiment' | 'point' | 'path' | 'histogram'>>;

export interface Result {
  readonly value: number;
  readonly histogram?: string;
  readonly beside?: readonly Beside[];
}

/** What is measured, and how, with the programs of one round. */
export interface Job<Tools> {
  readonly planned: Planned;
  readonly take: (tools: Tools) => Promise<Result>;
}

/** The programs of one round. */
export interface Tools extends AsyncDisposable {
  /** Everything whose use of processors is not that of others. */
  readonly pids: readonly number[];
}

/** Experiments that use the same programs. */
export interface Suite {
  readonly planned: readonly Planned[];
  /** Begins a round; programs may be started later, when they are first needed. */
  open(round: number): Promise<Round>;
  /** Ends what stays from round to round: VMs. */
  close?(): Promise<void>;
  /** Milliseconds that its first sample takes beside its own: nothing of it is begun that late in a limited time. */
  readonly startMs?: () => number;
}

export interface Round extends Tools {
  /** The sample of what is planned at an index. */
  take(index: number): Promise<Result>;
}

/** A suite of jobs; `open` makes the tools of a round. What is absent is planned, and not taken. */
export function suiteOf<T extends Tools>(
  jobs: readonly Job<T>[],
  open: (round: number) => Promise<T>,
  { close, startMs }: Pick<Suite, 'close' | 'startMs'> = {},
): Suite {
  return {
    ...(close === undefined ? {} : { close }),
    ...(startMs === undefined ? {} : { startMs }),
    planned: jobs.map(({ planned }) => planned),
    open: async (round) => {
      const tools = await open(round);
      return {
        take: (index) => jobs[index]!.take(tools),
        get pids() {
          return tools.pids;
        },
        [Symbol.asyncDispose]: () => tools[Symbol.asyncDispose](),
      };
    },
  };
}
