import { figureScale, frame, type Looks, plotBlock, type Spot, scaleOptions, spots } from './chart.ts';
import { axisX, barX, gridX, ruleX, ruleY, svg, text } from './drawing.ts';
import type { Html } from './html.ts';

const ROW = 42;
/** Of a row: its name is above its bar, however long. */
const BAR_TOP = 20;

export interface Bar {
  readonly path: string;
  /** `x` is its name. */
  readonly spot: Spot;
}

/** One bar for each contestant, with its interval; from `base` where they are ratios, else from the axis. */
export function barChart(
  title: string,
  unit: string,
  bars: readonly Bar[],
  looks: Looks,
  base?: number,
): Html {
  const rows = bars.map(({ path, spot }) => ({
    ...{ ...spot, path, name: String(spot.x) },
    ...{ x: spot.y, y: String(spot.x) },
  }));
  const values = rows.flatMap(({ low, high, x }) => [low, high, x]);
  const scale = figureScale(base === undefined ? values : [...values, base], unit);
  const from = base ?? scale.domain[0];
  const drawn = svg(
    title,
    frame({
      ...{ height: 58 + ROW * rows.length, marginLeft: 16, marginRight: 30 },
      x: scaleOptions(scale),
      y: { type: 'band', domain: rows.map(({ name }) => name), axis: null },
      marks: [
        gridX(scale.ticks),
        axisX(scale.ticks, { text: scale.text, label: null }),
        ...(base === undefined ? [] : [ruleX([base], { stroke: 'var(--ink)', strokeDasharray: '3 3' })]),
        ...rows.flatMap((row) => {
          const look = looks.get(row.path)!;
          const middle = { dy: (BAR_TOP + ROW - 6) / 2 - ROW / 2 } as const;
          return [
            text([row], {
              ...{ x: () => scale.domain[0], y: 'name', text: 'name' },
              ...{ textAnchor: 'start', dy: -11 },
            }),
            barX([row], {
              ...{ x1: () => from, x2: 'x', y: 'name', fill: look.colour, title: 'text' },
              ...{
                fillOpacity: row.noisy ? 0.15 : 0.35,
                stroke: look.colour,
                insetTop: BAR_TOP,
                insetBottom: 6,
              },
            }),
            ruleY([row], {
              x1: 'low',
              x2: 'high',
              y: 'name',
              stroke: 'var(--ink)',
              strokeWidth: 1.5,
              ...middle,
            }),
            ...spots([row], look, middle),
          ];
        }),
      ],
    }),
  );
  return plotBlock(title, drawn, [], looks);
}
