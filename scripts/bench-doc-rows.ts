import type { Row, SpreadRow } from '../bench/harness/types.ts';

/** Rows with a tail have more columns. */
export function hasTail(row: Row | SpreadRow): row is SpreadRow {
  return 'p99' in row;
}

/** A number with the prefix that keeps it short: 1.45M, 12.2k, 0.85. */
export function formatValue(value: number): string {
  for (const [size, suffix] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e4, 'k'],
  ] as const) {
    if (Math.abs(value) >= size) return (value / (suffix === 'k' ? 1e3 : size)).toPrecision(3) + suffix;
  }
  const short = value.toPrecision(3);
  return short.includes('e') ? String(Math.round(value)) : short;
}

/** @throws Error when it is no row of a benchmark, or its ratio is another. */
export function checkRow(row: Row): void {
  const numbers = [row.ours, row.baseline, row.ratio];
  const fine =
    numbers.every((value) => typeof value === 'number' && Number.isFinite(value)) &&
    [row.id, row.metric, row.unit, row.baselineName].every((value) => typeof value === 'string') &&
    (row.better === 'lower' || row.better === 'higher') &&
    Array.isArray(row.samples?.ours);
  if (!fine) throw new Error(`this is no row of a benchmark: ${JSON.stringify(row).slice(0, 200)}`);
  if (Math.abs(row.ours / row.baseline - row.ratio) > 0.01 * row.ratio)
    throw new Error(`the ratio of ${row.id} against ${row.baselineName} is not ours / baseline`);
}
