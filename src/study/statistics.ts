import {
  cumulativeStdNormalProbability,
  median as medianOf,
  quantileSorted,
  wilcoxonRankSum,
} from 'simple-statistics';
import { randomSource } from './random.ts';

/**
 * What a study says of its numbers: medians with intervals, ratios with intervals, and whether two lists differ. Nothing here
 * supposes a distribution, and nothing is thrown away: times have long tails and processors have neighbours.
 * Simple-statistics is bundled into this one file (docs/decisions/study.md).
 */

/** What is said of a list of samples. */
export interface Estimate {
  readonly value: number;
  /** Ends of the interval. */
  readonly low: number;
  readonly high: number;
  /** How surely the interval holds the true value, 0 to 1: few samples cannot promise 0.95. */
  readonly level: number;
  readonly n: number;
}

/** The level of an interval where there are samples enough. */
export const LEVEL = 0.95;
const RESAMPLES = 2000;
/** Below this number of samples resampling promises more than it holds, and the range is said instead. */
const FEWEST_TO_RESAMPLE = 6;

/** Median of a non-empty list; of an even number the mean of the middle two. */
export const median = (values: readonly number[]): number => medianOf([...values]);

/**
 * The median of a non-empty list and its interval: from 6 samples on by percentiles of resampled medians (bootstrap), below that
 * from the smallest to the largest, which holds the true median with probability 1 - 2^(1 - n).
 */
export function estimate(values: readonly number[], seed = 1): Estimate {
  const n = values.length;
  const value = median(values);
  if (n < FEWEST_TO_RESAMPLE)
    return { value, low: Math.min(...values), high: Math.max(...values), level: 1 - 2 ** (1 - n), n };
  const random = randomSource(seed);
  const medians = Float64Array.from({ length: RESAMPLES }, () =>
    median(values.map(() => values[Math.floor(random() * n)]!)),
  ).sort();
  const at = (share: number): number => quantileSorted(medians as unknown as number[], share);
  return { value, low: at((1 - LEVEL) / 2), high: at((1 + LEVEL) / 2), level: LEVEL, n };
}

/** A number measured in a round. */
export interface Paired {
  readonly round: number;
  readonly value: number;
}

/**
 * Median of the rounds' ratios `a / b`, with its interval: the two of one round ran one after the other, so that what the machine
 * did in that minute is in both. Null where no round has both.
 */
export function pairedRatio(a: readonly Paired[], b: readonly Paired[]): Estimate | null {
  const others = new Map<number, number[]>();
  for (const { round, value } of b) others.set(round, [...(others.get(round) ?? []), value]);
  const own = new Map<number, number[]>();
  for (const { round, value } of a) own.set(round, [...(own.get(round) ?? []), value]);
  const ratios = [...own].flatMap(([round, values]) => {
    const other = others.get(round);
    const below = other === undefined ? 0 : median(other);
    return below === 0 ? [] : [median(values) / below];
  });
  return ratios.length === 0 ? null : estimate(ratios);
}

export interface Comparison {
  /** Probability that lists of one source differ at least so much: two-sided Mann-Whitney. */
  readonly p: number;
  /** The least `p` that lists of these lengths can give. */
  readonly least: number;
  /** Probability that a number of `b` is larger than one of `a`; 0.5 where they do not differ. */
  readonly superiority: number;
  /** Median of all ratios `b / a` (Hodges-Lehmann), with the interval that belongs to the test. */
  readonly ratio: Estimate;
}

/** Compares two non-empty lists of positive numbers that were not measured together. */
export function compare(a: readonly number[], b: readonly number[]): Comparison {
  const [n, m] = [a.length, b.length];
  const lowest = (m * (m + 1)) / 2;
  const larger = wilcoxonRankSum([...b], [...a]) - lowest;
  const exact = n * m <= MOST_EXACT;
  const p = exact ? exactTail(a, b) : normalTail(a, b, larger);
  const least = exact ? Math.min(1, 2 / choose(n + m, n)) : 0;
  return { p, least, superiority: larger / (n * m), ratio: shift(a, b) };
}

/** Up to this product of lengths the distribution of ranks is counted; above it is normal to a thousandth. */
const MOST_EXACT = 400;

/** Ranks from 1, doubled so that those of ties are whole. */
function doubledRanks(values: readonly number[]): number[] {
  const sorted = [...values].sort((x, y) => x - y);
  return values.map((value) => sorted.indexOf(value) + 1 + sorted.lastIndexOf(value) + 1);
}

/** Share of all ways to choose which samples are `b`'s that give a sum of ranks at least as far from the expected one. */
function exactTail(a: readonly number[], b: readonly number[]): number {
  const ranks = doubledRanks([...a, ...b]);
  const sum = ranks.slice(a.length).reduce((x, y) => x + y, 0);
  const expected = b.length * (a.length + b.length + 1);
  const ways = waysBySum(ranks, b.length);
  let [all, extreme] = [0, 0];
  for (const [each, count] of ways.entries()) {
    all += count;
    if (Math.abs(each - expected) >= Math.abs(sum - expected)) extreme += count;
  }
  return extreme / all;
}

/** How many choices of `chosen` ranks have which sum. */
function waysBySum(ranks: readonly number[], chosen: number): Float64Array {
  const most = ranks.reduce((x, y) => x + y, 0);
  const ways = Array.from({ length: chosen + 1 }, () => new Float64Array(most + 1));
  ways[0]![0] = 1;
  for (const rank of ranks)
    for (let count = chosen; count > 0; count--)
      for (let sum = most; sum >= rank; sum--) ways[count]![sum]! += ways[count - 1]![sum - rank]!;
  return ways[chosen]!;
}

function normalTail(a: readonly number[], b: readonly number[], larger: number): number {
  const [n, m] = [a.length, b.length];
  const all = [...a, ...b];
  const counts = new Map<number, number>();
  for (const value of all) counts.set(value, (counts.get(value) ?? 0) + 1);
  const ties = [...counts.values()].reduce((sum, each) => sum + each ** 3 - each, 0);
  const total = n + m;
  const variance = ((n * m) / 12) * (total + 1 - ties / (total * (total - 1)));
  if (variance === 0) return 1;
  const z = Math.max(0, Math.abs(larger - (n * m) / 2) - 0.5) / Math.sqrt(variance);
  return Math.min(1, 2 * (1 - cumulativeStdNormalProbability(z)));
}

/** The median ratio of all pairs and the interval that Mann-Whitney's distribution gives it. */
function shift(a: readonly number[], b: readonly number[]): Estimate {
  const ratios = b.flatMap((y) => a.map((x) => y / x)).sort((x, y) => x - y);
  const [n, m] = [a.length, b.length];
  const { cut, level } = n * m <= MOST_EXACT ? exactCut(n, m) : normalCut(n, m);
  return {
    value: median(ratios),
    low: ratios[cut]!,
    high: ratios[ratios.length - 1 - cut]!,
    level,
    n: Math.min(n, m),
  };
}

/** How many of the ordered pairs to leave out at either end for an interval of at least 95 %, or none, and what that gives. */
function exactCut(n: number, m: number): { cut: number; level: number } {
  const ways = waysBySum(
    Array.from({ length: n + m }, (_, index) => index + 1),
    m,
  );
  const total = choose(n + m, n);
  const lowest = (m * (m + 1)) / 2;
  let [cut, below] = [0, ways[lowest]! / total];
  while (below + ways[lowest + cut + 1]! / total <= (1 - LEVEL) / 2) below += ways[lowest + ++cut]! / total;
  return { cut, level: 1 - 2 * below };
}

function normalCut(n: number, m: number): { cut: number; level: number } {
  const deviation = Math.sqrt((n * m * (n + m + 1)) / 12);
  return { cut: Math.max(0, Math.floor((n * m) / 2 - 1.96 * deviation) - 1), level: LEVEL };
}

function choose(n: number, k: number): number {
  let ways = 1;
  for (let i = 1; i <= k; i++) ways = (ways * (n - k + i)) / i;
  return Math.round(ways);
}

/**
 * Benjamini-Hochberg: what each of many p-values is worth among the others. Calling those below q changed is wrong, in the mean, of
 * a share q of what is called so.
 */
export function adjusted(pValues: readonly number[]): number[] {
  const order = pValues.map((_, index) => index).sort((x, y) => pValues[y]! - pValues[x]!);
  const result = new Array<number>(pValues.length);
  let least = 1;
  order.forEach((index, position) => {
    least = Math.min(least, (pValues[index]! * pValues.length) / (pValues.length - position));
    result[index] = least;
  });
  return result;
}
