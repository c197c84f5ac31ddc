import type { Cell } from '../cells.ts';
import type { Estimate } from '../statistics.ts';
import { dot, type Markish, type PlotOptions, ruleY, svg } from './drawing.ts';
import { tickText, withInterval } from './format.ts';
import { type Html, html, raw } from './html.ts';
import type { Look } from './palette.ts';

/** A plot fits a phone at this width; on wider screens plots stand beside each other. */
export const WIDTH = 360;
const HEIGHT = 250;

export type Looks = ReadonlyMap<string, Look>;

/** A plot with its title, and the contestants in it. */
export function plotBlock(title: string, drawn: string, paths: readonly string[], looks: Looks): Html {
  const entries = paths.map((path) => html`<li>${legendMark(looks.get(path)!)}${path}</li>`);
  return html`<figure><figcaption>${title}</figcaption>${raw(drawn)}${
    entries.length === 0 ? null : html`<ul class="legend">${entries}</ul>`
  }</figure>`;
}

function legendMark({ colour, symbol, dash }: Look): Html {
  const drawn = svg('', {
    ...{ width: 30, height: 14, margin: 0, axis: null },
    x: { domain: [-1, 1] },
    y: { domain: [-1, 1] },
    marks: [
      ruleY([0], { stroke: colour, strokeWidth: 2, strokeDasharray: dash }),
      dot([[0, 0]], { fill: colour, symbol, r: 4 }),
    ],
  });
  return raw(drawn.replace('role="img"', 'aria-hidden="true"'));
}

/** What all plots have in common. */
export function frame(options: PlotOptions): PlotOptions {
  return {
    ...{ width: WIDTH, height: HEIGHT, marginLeft: 64, marginRight: 14, marginBottom: 42, marginTop: 16 },
    style: { fontSize: '12px', overflow: 'visible' },
    ...options,
  };
}

/** A scale of figures. Its ticks are drawn as marks of their own: the library's drop those of powers that are no powers of ten. */
export interface Scale {
  readonly type: 'log' | 'linear';
  readonly domain: readonly [number, number];
  readonly ticks: readonly number[];
  readonly text: (tick: number) => string;
}

/** By powers where the figures differ by more than a digit, else from zero. */
export function figureScale(values: readonly number[], unit: string): Scale {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const text = (tick: number): string => tickText(tick, unit);
  if (least > 0 && most / least > 12) {
    const domain = [least / 1.3, most * 1.3] as const;
    return { type: 'log', domain, ticks: powers(...domain), text };
  }
  const end = most > 0 ? most * 1.08 : 1;
  return { type: 'linear', domain: [Math.min(0, least), end], ticks: evenly(end), text };
}

/** The scale as options of the library. */
export const scaleOptions = ({ type, domain }: Scale): object => ({ type, domain, axis: null });

/** Up to five multiples of 1, 2 or 5. */
export function evenly(end: number): number[] {
  const ten = 10 ** Math.floor(Math.log10(end / 4));
  const step = ten * [1, 2, 5, 10].find((each) => end / (ten * each) < 5)!;
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, index) => index * step);
}

/** Ticks of an axis by powers: tens, and where there are few of them ones and threes. */
function powers(low: number, high: number): number[] {
  const tens = Array.from({ length: 40 }, (_, index) => 10 ** (index - 15));
  const inside = (ticks: readonly number[]) => ticks.filter((tick) => tick >= low && tick <= high);
  const few = inside(tens);
  return few.length >= 3 ? few : inside(tens.flatMap((ten) => [ten, 3 * ten]));
}

/** A measured point of a series. */
export interface Spot {
  readonly x: number | string;
  readonly y: number;
  readonly low: number;
  readonly high: number;
  readonly noisy: boolean;
  readonly text: string;
}

/** The spot of a cell at `x`; null where it has no number. */
export function spotOf(cell: Cell, x: number | string): Spot | null {
  if (cell.estimate === null) return null;
  const { value, low, high } = cell.estimate;
  const trouble = cell.noisy.length > 0 ? `; ${cell.noisy.length} noisy` : '';
  const text = `${cell.path}: ${withInterval(cell.estimate, cell.unit)}${trouble}`;
  return { x, y: value, low, high, noisy: isNoisy(cell), text };
}

/** A spot of a ratio or of anything else that has an interval. */
export function spotOfEstimate(estimate: Estimate, x: number | string, text: string): Spot {
  return { x, y: estimate.value, low: estimate.low, high: estimate.high, noisy: false, text };
}

/** Whether so many of its samples were noisy that it is shown as such: at least half. */
export const isNoisy = ({ noisy, samples }: Cell): boolean => noisy.length * 2 >= Math.max(1, samples.length);

/** The marks of a noisy spot are hollow, those of others full. */
export function spots(
  all: readonly { readonly noisy: boolean }[],
  look: Look,
  more: { readonly dy?: number } = {},
): Markish[] {
  const options = {
    ...more,
    x: 'x',
    y: 'y',
    symbol: look.symbol,
    r: 3.5,
    stroke: look.colour,
    title: 'text',
  } as const;
  return [
    dot(
      all.filter(({ noisy }) => !noisy),
      { ...options, fill: look.colour },
    ),
    dot(
      all.filter(({ noisy }) => noisy),
      { ...options, fill: 'var(--ground)' },
    ),
  ];
}
