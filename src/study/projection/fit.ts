import { median } from '../statistics.ts';

/** A measured point: a median at a level of a factor. */
export interface Measured {
  readonly x: number;
  readonly y: number;
}

/** How a cost grows: in proportion to the factor, or with its logarithm, beside what does not grow. */
export type Shape = 'linear' | 'logarithmic';

/** A law with two constants, found from some points and checked against the others. */
export interface Law {
  readonly shape: Shape;
  /** What there is at nothing, and what each unit (or doubling) adds. */
  readonly fixed: number;
  readonly each: number;
  readonly at: (x: number) => number;
  readonly calibrated: readonly Measured[];
  /** Not used for the constants. */
  readonly heldOut: readonly (Measured & { readonly predicted: number })[];
  /** Largest and median relative error of the points held out; null where none were. */
  readonly worstError: number | null;
  readonly medianError: number | null;
}

/**
 * Finds the constants by least squares of relative errors (a tenth off counts the same at 1 µs and at 1 s). The ends and every
 * second point between them calibrate; the others are held out. Null with fewer than two levels. Costs do not shrink: negative
 * constants are set to zero.
 */
export function fit(points: readonly Measured[], shape: Shape): Law | null {
  const sorted = points.filter(({ x, y }) => x > 0 && y > 0).sort((a, b) => a.x - b.x);
  if (sorted.length < 2 || sorted[0]!.x === sorted.at(-1)!.x) return null;
  const isHeldOut = (index: number): boolean => index % 2 === 1 && index < sorted.length - 1;
  const calibrated = sorted.filter((_, index) => !isHeldOut(index));
  const grown = (x: number): number => (shape === 'linear' ? x : Math.log2(x));
  const { fixed, each } = leastSquares(calibrated.map(({ x, y }) => ({ g: grown(x), y })));
  const at = (x: number): number => fixed + each * grown(x);
  const heldOut = sorted
    .filter((_, index) => isHeldOut(index))
    .map((point) => ({ ...point, predicted: at(point.x) }));
  const errors = heldOut.map(({ y, predicted }) => Math.abs(predicted / y - 1));
  return {
    ...{ shape, fixed, each, at, calibrated, heldOut },
    worstError: errors.length === 0 ? null : Math.max(...errors),
    medianError: errors.length === 0 ? null : median(errors),
  };
}

/** Minimizes the sum of ((fixed + each g) / y - 1)². */
function leastSquares(points: readonly { g: number; y: number }[]): { fixed: number; each: number } {
  let [a, b, c, d, e] = [0, 0, 0, 0, 0];
  for (const { g, y } of points) {
    const weight = 1 / (y * y);
    a += weight;
    b += weight * g;
    c += weight * g * g;
    d += weight * y;
    e += weight * g * y;
  }
  const determinant = a * c - b * b;
  const fixed = (c * d - b * e) / determinant;
  const each = (a * e - b * d) / determinant;
  if (each < 0) return { fixed: d / a, each: 0 };
  if (fixed < 0) return { fixed: 0, each: e / c };
  return { fixed, each };
}

/** A law that is further off than this at a point that was held out says nothing about points that nobody measured. */
export const MOST_ERROR = 0.25;

/** Whether a law was checked and held; why not, where it did not. */
export function calibration({ heldOut, worstError }: Law): { readonly holds: boolean; readonly why: string } {
  if (heldOut.length === 0 || worstError === null)
    return { holds: false, why: 'not calibrated: too few points to check it' };
  const off = `off by up to ${Math.round(worstError * 100)} %`;
  return worstError <= MOST_ERROR
    ? { holds: true, why: off }
    : { holds: false, why: `not calibrated: ${off} at points held out` };
}
