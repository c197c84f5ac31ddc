import type { Cell } from './cells.ts';
import { type Estimate, pairedRatio } from './statistics.ts';

/** The same thing measured under two names: how many times the second differs from the first. */
export interface NoisePair {
  readonly cell: Cell;
  readonly again: Cell;
  readonly ratio: Estimate;
}

/** Of cells measured beside each other, those that are one thing: `channel` and `channel-again`. */
export function noisePairs(set: readonly Cell[]): NoisePair[] {
  return set.flatMap((cell) => {
    const again = set.find(({ path }) => path === `${cell.path}-again`);
    const ratio = again === undefined ? null : pairedRatio(again.values, cell.values);
    return ratio === null ? [] : [{ cell, again: again!, ratio }];
  });
}
