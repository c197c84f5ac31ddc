import type { Cell } from '../cells.ts';

/** How a contestant looks in every plot of a report: by colour, by symbol and by dashes, so that no one of them has to be seen. */
export interface Look {
  /** A variable of the page's style, which differs between light and dark. */
  readonly colour: string;
  readonly symbol: 'circle' | 'square' | 'triangle' | 'diamond' | 'cross' | 'star' | 'hexagon' | 'wye';
  readonly dash: string;
}

const symbols = ['circle', 'square', 'triangle', 'diamond', 'cross', 'star', 'hexagon', 'wye'] as const;
const dashes = ['none', '6 3', '2 3', '8 3 2 3', 'none', '6 3', '2 3', '8 3 2 3'];

/**
 * Colours that are told apart with any of the usual kinds of colour blindness (after Okabe and Ito), each at least 3:1 against
 * its background.
 */
export const colours = {
  light: ['#0072b2', '#c04f00', '#00805c', '#a04a82', '#946200', '#1777ad', '#333333', '#6b5d00'],
  dark: ['#57a9e8', '#ff8f52', '#3cc9a0', '#e59bc8', '#f0b429', '#8fd0f5', '#e0e0e0', '#d6cb63'],
} as const;

/** A look for every contestant of a study, in the order they were planned in. */
export function looksOf(cells: readonly Pick<Cell, 'path'>[]): ReadonlyMap<string, Look> {
  const paths = [...new Set(cells.map(({ path }) => path))];
  return new Map(
    paths.map((path, index) => {
      const at = index % symbols.length;
      // A second turn of the colours is told from the first by its dashes.
      const dash = dashes[(at + (index >= symbols.length ? 1 : 0)) % dashes.length]!;
      return [path, { colour: `var(--series-${at})`, symbol: symbols[at]!, dash }];
    }),
  );
}
