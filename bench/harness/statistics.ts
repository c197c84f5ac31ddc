export { median } from '../../src/demo/figures.ts';
export { randomSource, shuffled } from '../../src/study/random.ts';

/** The smallest value that at least a share `q` of a non-empty list does not exceed (nearest rank): 1 is the largest. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]!;
}
