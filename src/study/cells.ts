import { keyOf, type Planned, pointText, type Sample, type Study } from './results.ts';
import { type Estimate, estimate, type Paired, pairedRatio } from './statistics.ts';

/** All rounds of one contestant at one point, in one metric. */
export interface Cell {
  readonly key: string;
  readonly experiment: string;
  readonly where: Sample['where'];
  readonly point: Sample['point'];
  readonly path: string;
  readonly metric: string;
  readonly unit: string;
  readonly better: Sample['better'];
  readonly samples: readonly Sample[];
  /** Those with a number; noisy ones are among them. */
  readonly values: readonly Paired[];
  /** Null where no round gave a number. */
  readonly estimate: Estimate | null;
  /** Why which rounds are not to be trusted by themselves. */
  readonly noisy: readonly string[];
  /** Why there is no number, of rounds or of all. */
  readonly failed: readonly string[];
}

/** The cells of a study in the order they were planned in; what was planned and not measured is there, and says so. */
export function cellsOf({ plan, samples }: Pick<Study, 'plan' | 'samples'>): Cell[] {
  const grouped = new Map<string, { what: Planned | Sample; absent?: string; samples: Sample[] }>();
  for (const planned of plan.points) {
    const { absent } = planned;
    grouped.set(keyOf(planned), { what: planned, samples: [], ...(absent === undefined ? {} : { absent }) });
  }
  for (const sample of samples) {
    const key = keyOf(sample);
    const group = grouped.get(key) ?? { what: sample, samples: [] };
    grouped.set(key, group);
    group.samples.push(sample);
  }
  return [...grouped].map(([key, { what, absent, samples }]) => {
    const values = samples.flatMap(({ round, value }) => (value === null ? [] : [{ round, value }]));
    const failed = samples.flatMap((sample) =>
      sample.value === null ? [sample.failed ?? 'no reason given'] : [],
    );
    if (samples.length === 0) failed.push(absent ?? 'not measured');
    const { experiment, where, point, path, metric, unit, better } = what;
    return {
      ...{ key, experiment, where, point, path, metric, unit, better, samples, values, failed },
      estimate: values.length === 0 ? null : estimate(values.map(({ value }) => value)),
      noisy: samples.flatMap((sample) => (sample.noisy === undefined ? [] : [sample.noisy])),
    };
  });
}

/** Cells that were measured beside each other: they differ in the path alone. */
export function besideEachOther(cells: readonly Cell[]): Cell[][] {
  return groupBy(cells, (cell) => `${cell.experiment} ${cell.where} ${cell.metric} ${pointText(cell.point)}`);
}

/** How many times better `cell` is than `baseline`, round by round: above 1 is better. Null where no round has both. */
export function advantage(cell: Cell, baseline: Cell): Estimate | null {
  return cell.better === 'lower'
    ? pairedRatio(baseline.values, cell.values)
    : pairedRatio(cell.values, baseline.values);
}

/** Groups in order of first appearance. */
export function groupBy<T>(items: readonly T[], keyOfItem: (item: T) => string): T[][] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOfItem(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return [...groups.values()];
}
