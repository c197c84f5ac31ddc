import { median, quantile } from '../harness/statistics.ts';
import type { SpreadRow, Verdict } from '../harness/types.ts';

/** Raw samples by round. */
export type Rounds = readonly (readonly number[])[];

/** All that makes a row. Lower is better in all of this benchmark. */
export interface Figure {
  readonly id: string;
  readonly metric: string;
  readonly unit: string;
  readonly ours: Rounds;
  readonly baselineName: string;
  readonly baseline: Rounds;
  readonly goals?: readonly Goal[];
}

export interface Goal {
  readonly text: string;
  readonly met: (row: SpreadRow) => boolean;
}

/** The row of a figure, or why there is none. */
export function spreadRow(figure: Figure): SpreadRow | string {
  const { id, metric, unit, baselineName, goals } = figure;
  const label = `${id} ${baselineName}`;
  if (figure.ours.flat().length === 0) return `${label}: no sample of ours`;
  if (figure.baseline.flat().length === 0) return `${label}: no sample of the baseline`;
  const [ours, baseline] = [summary(figure.ours), summary(figure.baseline)];
  // Nobody is infinitely better than somebody; two zeros are equal.
  if (baseline.median === 0 && ours.median > 0) return `${label}: the baseline is 0, ours ${ours.median}`;
  const row: SpreadRow = {
    ...{ id, metric, unit, better: 'lower' as const },
    ours: ours.median,
    p99: ours.p99,
    worst: ours.worst,
    baseline: baseline.median,
    baselineP99: baseline.p99,
    baselineWorst: baseline.worst,
    baselineName,
    ratio: baseline.median === 0 ? 1 : ours.median / baseline.median,
    samples: { ours: ours.rounds, baseline: baseline.rounds },
  };
  if (goals === undefined) return row;
  return { ...row, target: goals.map(({ text, met }): Verdict => ({ text, met: met(row) })) };
}

/** Median of the rounds' medians; p99 and worst of everything. */
function summary(rounds: Rounds) {
  const medians = rounds.filter((round) => round.length > 0).map(median);
  const all = rounds.flat();
  return { rounds: medians, median: median(medians), p99: quantile(all, 0.99), worst: quantile(all, 1) };
}
