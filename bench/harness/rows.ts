import { median } from './statistics.ts';
import type { Benchmark, Row, Sample } from './types.ts';

/** The name of the product's contestant. */
export const oursName = 'ours';

/** One row per baseline of every benchmark that both the product and the baseline have samples of. */
export function makeRows(benchmarks: readonly Benchmark[], samples: readonly Sample[]): Row[] {
  const rows: Row[] = [];
  for (const { id, metric, unit, better, contestants } of benchmarks) {
    const values = (name: string) =>
      samples.filter((s) => s.id === id && s.name === name).map((s) => s.value);
    const ours = values(oursName);
    if (ours.length === 0) continue;
    for (const { name } of contestants) {
      const baseline = values(name);
      if (name === oursName || baseline.length === 0) continue;
      rows.push({
        id,
        metric,
        unit,
        better,
        ours: median(ours),
        baseline: median(baseline),
        baselineName: name,
        ratio: median(ours) / median(baseline),
        samples: { ours, baseline },
      });
    }
  }
  return rows;
}
