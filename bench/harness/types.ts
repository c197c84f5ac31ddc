/** What a contestant prints as its last line on stdout. `value` is the median of `batches`. */
export interface Measurement {
  readonly value: number;
  readonly unit: string;
  readonly batches: readonly number[];
}

/** One way of doing what a benchmark measures: the product (`ours`), a C floor, or a peer. */
export interface Contestant {
  readonly name: string;
  /** Program and arguments; `--cpu-a`, `--cpu-b` and `--ms` are added by the harness. */
  readonly command: readonly string[];
  /** Set when it cannot run here: why. */
  readonly absent?: string;
}

/** One id of the report: the same task done by every contestant. */
export interface Benchmark {
  readonly id: string;
  readonly metric: string;
  readonly unit: string;
  readonly better: 'lower' | 'higher';
  readonly contestants: readonly Contestant[];
  /** The goal, as a ratio to one of the baselines. */
  readonly target?: { readonly baselineName: string; readonly ratio: number };
}

/** One run of one contestant. */
export interface Sample {
  readonly id: string;
  readonly name: string;
  readonly round: number;
  readonly value: number;
  readonly batches: readonly number[];
  /** CPU time that others used during the sample, as a share of one CPU. */
  readonly others: number;
  /** Samples thrown away before this one because others used too much CPU. */
  readonly retries: number;
  /** Set for two processes of this host: round trip of one cache line between their CPUs just before, nanoseconds. */
  readonly lineNs?: number;
}

/** A sample of two processes of this host, with the placement of the two CPUs just before it. */
export interface HostSample extends Sample {
  readonly lineNs: number;
  readonly placement: Placement;
}

export type Placement = 'near' | 'mid' | 'far';

/** One row of the report; the form every benchmark keeps. */
export interface Row {
  readonly id: string;
  readonly metric: string;
  readonly unit: string;
  readonly better: 'lower' | 'higher';
  /** Medians over the rounds. */
  readonly ours: number;
  readonly baseline: number;
  readonly baselineName: string;
  /** ours / baseline. */
  readonly ratio: number;
  readonly samples: { readonly ours: readonly number[]; readonly baseline: readonly number[] };
  /** Goals judged by this row; none where it has none. */
  readonly target?: readonly Verdict[];
}

/** A row of a benchmark whose tail matters: `ours` and `baseline` stay medians over the rounds. */
export interface SpreadRow extends Row {
  /** Of all raw samples of all rounds. */
  readonly p99: number;
  readonly worst: number;
  readonly baselineP99: number;
  readonly baselineWorst: number;
}

/** A goal, and whether this run met it. */
export interface Verdict {
  readonly text: string;
  readonly met: boolean;
}
