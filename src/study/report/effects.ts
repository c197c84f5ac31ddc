import { advantage, type Cell, groupBy } from '../cells.ts';
import type { Estimate } from '../statistics.ts';
import {
  evenly,
  figureScale,
  frame,
  type Looks,
  plotBlock,
  scaleOptions,
  spotOfEstimate,
  spots,
} from './chart.ts';
import { axisX, gridX, link, ruleX, ruleY, svg, text } from './drawing.ts';
import { levelText, ratioWithInterval } from './format.ts';
import type { Html } from './html.ts';

/** What a factor makes of a metric: each of its levels against the one that did worst. */
export interface Effect {
  readonly factor: string;
  readonly path: string;
  readonly worst: string;
  readonly best: string;
  /** How many times better each level is than the worst, the worst first. */
  readonly levels: readonly { readonly level: string; readonly ratio: Estimate }[];
  /** That of the best. */
  readonly ratio: Estimate;
}

/** Factors of one metric by the size of their effect, the largest first. Points are { factor, level, ... }. */
export function effectsOf(cells: readonly Cell[]): Effect[] {
  const groups = groupBy(
    cells.filter(({ point, estimate }) => 'factor' in point && 'level' in point && estimate !== null),
    ({ point, path }) => `${path} ${JSON.stringify({ ...point, level: null })}`,
  );
  const effects = groups.flatMap((group): Effect[] => {
    const sign = group[0]!.better === 'lower' ? 1 : -1;
    const ordered = [...group].sort((a, b) => sign * (b.estimate!.value - a.estimate!.value));
    const [worst] = ordered;
    const levels = ordered.flatMap((cell) => {
      const ratio = advantage(cell, worst!);
      return ratio === null ? [] : [{ level: textOfLevel(cell), ratio }];
    });
    if (levels.length < 2) return [];
    const { factor, level: _, ...rest } = group[0]!.point;
    const beside = Object.entries(rest).map(([name, level]) => levelText(name, level));
    const best = levels.at(-1)!;
    return [
      {
        factor: [String(factor).replaceAll('-', ' '), ...beside].join(', '),
        ...{ path: group[0]!.path, worst: levels[0]!.level, best: best.level, levels, ratio: best.ratio },
      },
    ];
  });
  return effects.sort((a, b) => b.ratio.value - a.ratio.value);
}

const textOfLevel = ({ point: { factor, level } }: Cell): string =>
  factor === 'data-area' ? levelText('bytes', level!) : String(level);

const ROW = 44;

/** Each factor as a line from its worst level to its best. */
export function effectChart(title: string, effects: readonly Effect[], looks: Looks): Html {
  const named = effects.map((effect) => ({ ...effect, name: `${effect.factor} (${effect.path})` }));
  const all = named.flatMap(({ levels }) =>
    levels.flatMap(({ ratio }) => [ratio.low, ratio.high, ratio.value]),
  );
  const most = Math.max(1.2, ...all);
  const least = Math.min(1, ...all);
  const scale = figureScale(most / least > 12 ? [least, most] : all, '×');
  const domain = [Math.min(least, 1) * (scale.type === 'log' ? 1 / 1.3 : 0.96), most * 1.05] as const;
  const start = domain[0];
  const ticks =
    scale.type === 'log'
      ? scale.ticks.filter((tick) => tick >= start)
      : evenly(most - 1).map((each) => 1 + each);
  const drawn = svg(
    title,
    frame({
      ...{ height: 60 + ROW * named.length, marginLeft: 14, marginRight: 20 },
      x: { ...scaleOptions(scale), domain },
      y: { type: 'band', domain: named.map(({ name }) => name), axis: null },
      marks: [
        gridX(ticks),
        axisX(ticks, {
          text: scale.text,
          label: 'times better than the worst level',
          labelAnchor: 'center',
          labelArrow: 'none',
        }),
        ruleX([1], { stroke: 'var(--ink)', strokeDasharray: '3 3' }),
        ...named.flatMap((effect) => {
          const look = looks.get(effect.path)!;
          const own = effect.levels.map(({ level, ratio }) => ({
            ...spotOfEstimate(ratio, ratio.value, `${level}: ${ratioWithInterval(ratio)}, n = ${ratio.n}`),
            y: effect.name,
          }));
          const reach = [{ x1: own[0]!.x, x2: own.at(-1)!.x, y: effect.name }];
          return [
            text([effect], {
              ...{ x: () => start, y: 'name', text: ({ factor, best }: Effect) => `${factor}: best ${best}` },
              ...{ textAnchor: 'start', dy: -13 },
            }),
            link(reach, {
              x1: 'x1',
              x2: 'x2',
              y: 'y',
              stroke: look.colour,
              strokeWidth: 3,
              strokeOpacity: 0.5,
            }),
            ruleY(own, { x1: 'low', x2: 'high', y: 'y', stroke: look.colour }),
            ...spots(own, look),
          ];
        }),
      ],
    }),
  );
  return plotBlock(title, drawn, [...new Set(named.map(({ path }) => path))], looks);
}
