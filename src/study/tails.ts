import type { Cell } from './cells.ts';
import { decodeTimes } from './histogram.ts';

/** Single measurements of a cell, of all rounds together or of one. */
export interface Distribution {
  readonly path: string;
  readonly count: number;
  /** Nanoseconds that a share of them does not exceed. */
  readonly quantile: (share: number) => number;
}

type Histogram = ReturnType<typeof decodeTimes>;

/** Null where no sample kept its single measurements. */
export function distributionOf(cell: Cell): Distribution | null {
  const [first, ...others] = histogramsOf(cell);
  if (first === undefined) return null;
  for (const other of others) first.add(other);
  return distribution(cell.path, first);
}

export function distributionsOfRounds(cell: Cell): Distribution[] {
  return histogramsOf(cell).map((histogram) => distribution(cell.path, histogram));
}

const histogramsOf = ({ samples }: Cell): Histogram[] =>
  samples.flatMap(({ histogram }) => {
    const times = histogram === undefined ? null : decodeTimes(histogram);
    return times === null || times.totalCount === 0 ? [] : [times];
  });

const distribution = (path: string, times: Histogram): Distribution => ({
  path,
  count: times.totalCount,
  quantile: (share) => times.getValueAtPercentile(share * 100),
});
