import {
  figureScale,
  frame,
  type Looks,
  plotBlock,
  type Scale,
  type Spot,
  scaleOptions,
  spots,
} from './chart.ts';
import { axisX, axisY, gridY, lineY, type Markish, ruleX, ruleY, svg } from './drawing.ts';
import { bytes, digits } from './format.ts';
import type { Html } from './html.ts';

export interface Line {
  readonly path: string;
  readonly spots: readonly Spot[];
  /** Points that are no curve, or a curve that has no points of its own: a model. Both without it. */
  readonly only?: 'marks' | 'curve';
}

export interface Lines {
  readonly title: string;
  /** The factor along the axis. */
  readonly factor: string;
  readonly unit: string;
  readonly lines: readonly Line[];
  /** Where to draw a rule across: 1 where the axis is a ratio. */
  readonly rule?: number;
}

/** Curves over a factor, each point with its interval. */
export function lineChart({ title, factor, unit, lines, rule }: Lines, looks: Looks): Html {
  const all = lines.flatMap(({ spots }) => spots);
  const own = lines.filter(({ only }) => only !== 'curve').flatMap(({ spots }) => spots);
  const end = Math.max(...all.map(({ x }) => Number(x)));
  const levels = [...new Set([...own.map(({ x }) => Number(x)), end])].sort((a, b) => a - b);
  const values = all.flatMap(({ low, high, y }) => [low, high, y]);
  const x = levelScale(factor, levels);
  const y = figureScale(rule === undefined ? values : [...values, rule], unit);
  const drawn = svg(
    title,
    frame({
      x: scaleOptions(x),
      y: scaleOptions(y),
      marks: [
        ...axes(x, y, factor),
        ...(rule === undefined ? [] : [ruleY([rule], { stroke: 'var(--ink)', strokeDasharray: '3 3' })]),
        ...lines.flatMap(({ path, spots: own, only }) => {
          const look = looks.get(path)!;
          const stroke = { stroke: look.colour };
          const curve = lineY(own, {
            ...{ x: 'x', y: 'y', ...stroke, strokeWidth: 2, strokeDasharray: look.dash },
          });
          const marks = [
            ruleX(own, { x: 'x', y1: 'low', y2: 'high', ...stroke, strokeWidth: 1.5 }),
            ...spots(own, look),
          ];
          return only === 'curve' ? [curve] : only === 'marks' ? marks : [curve, ...marks];
        }),
      ],
    }),
  );
  return plotBlock(
    title,
    drawn,
    lines.map(({ path }) => path),
    looks,
  );
}

/** Both axes, named along the bottom only: the title says what goes up. */
export function axes(x: Scale, y: Scale, name: string): Markish[] {
  const label = { label: name, labelAnchor: 'center', labelArrow: 'none' } as const;
  return [
    gridY(y.ticks),
    axisY(y.ticks, { text: y.text, label: null }),
    axisX(x.ticks, { text: x.text, ...label }),
  ];
}

/** By powers where the levels are spread so; ticks are levels that were measured. */
function levelScale(factor: string, levels: readonly number[]): Scale {
  const [least, most] = [levels[0] ?? 0, levels.at(-1) ?? 1];
  const log = least > 0 && most / least >= 16;
  return {
    type: log ? 'log' : 'linear',
    domain: least === most ? [least - 1, most + 1] : [least, most],
    ticks: thinned(levels, log),
    text: (level) => (factor === 'bytes' ? bytes(level) : digits(level)),
  };
}

/** No two ticks so near to each other that their texts would touch. */
function thinned(levels: readonly number[], log: boolean): number[] {
  const at = (level: number): number => (log ? Math.log(level) : level);
  const span = at(levels.at(-1) ?? 1) - at(levels[0] ?? 0);
  const kept: number[] = [];
  for (const level of levels)
    if (kept.length === 0 || at(level) - at(kept.at(-1)!) >= span / 6) kept.push(level);
  return kept;
}
