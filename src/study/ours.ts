import { advantage, type Cell } from './cells.ts';
import type { Estimate } from './statistics.ts';

/**
 * The contestants that are this package's own, in the order in which one of several stands for it: all others are compared with
 * that one.
 */
const own: readonly string[] = ['channel', 'shared-memory', 'space', 'event', 'tun'];

/** A contestant without its manner: `tcp-corked` (several messages in a write) and `tcp` are one path. */
export const pathOf = (path: string): string => path.replace(/-(corked|onread|again)$/, '');

/** Whether a contestant is this package's own. */
export const isOurs = (path: string): boolean => own.includes(pathOf(path));

/** Of cells measured beside each other, those of a path in the manner that does best: a baseline is at its best, and so are we. */
export function best(cells: readonly Cell[], path: string): Cell | null {
  const [first, ...others] = cells.filter((cell) => pathOf(cell.path) === path && cell.estimate !== null);
  if (first === undefined) return null;
  const sign = first.better === 'lower' ? 1 : -1;
  return others.reduce(
    (one, other) => (sign * (other.estimate!.value - one.estimate!.value) < 0 ? other : one),
    first,
  );
}

/**
 * How many times better the one of ours that stands for the package is than `cell`, of cells measured beside each other. Null where
 * there is nothing to compare: one of ours itself, the same thing again, no round in common.
 */
export function oursAgainst(cell: Cell, set: readonly Cell[]): Estimate | null {
  if (isOurs(cell.path) || cell.experiment === 'noise') return null;
  for (const path of own) {
    const ours = best(set, path);
    if (ours !== null) return advantage(ours, cell);
  }
  return null;
}
