import { advantage, besideEachOther, type Cell, groupBy } from '../cells.ts';
import { noisePairs } from '../noise.ts';
import { best, isOurs, pathOf } from '../ours.ts';
import { distributionOf } from '../tails.ts';
import { barChart } from './bars.ts';
import { isNoisy, type Looks, type Spot, spotOf, spotOfEstimate } from './chart.ts';
import { cumulativeChart, percentileChart } from './distribution.ts';
import { effectChart, effectsOf } from './effects.ts';
import { hasSteps, pointLabel, ratioWithInterval, title, whereText } from './format.ts';
import type { Html } from './html.ts';
import { type Line, lineChart } from './lines.ts';

/** The plots of one experiment, of what was measured of it. */
export function plotsOf(cells: readonly Cell[], looks: Looks): Html[] {
  const [{ experiment } = { experiment: '' }] = cells;
  const measured = cells.filter(({ estimate }) => estimate !== null);
  if (measured.length === 0) return [];
  const families = groupBy(
    measured,
    ({ where, metric, unit, point }) => `${where} ${metric} ${unit} ${Object.keys(point).sort()}`,
  );
  const curves = families.flatMap((family) => curvesOf(experiment, family, looks));
  const distributions = distributionsOf(experiment, measured, looks);
  return experiment === 'detection' ? [...distributions, ...curves] : [...curves, ...distributions];
}

/** What a plot shows: `Round trip, two processes of one host`. */
function nameOf({ metric, where, better, unit }: Cell, more: string): string {
  const parts = [title(metric), hasSteps(unit) ? '' : unit, more].filter((part) => part !== '');
  return `${parts.join(', ')}: ${whereText[where]} (${better} is better)`;
}

function curvesOf(experiment: string, family: readonly Cell[], looks: Looks): Html[] {
  if (experiment === 'noise') return noisePlot(family, looks);
  if (experiment === 'factors') {
    const effects = effectsOf(family);
    return effects.length === 0 ? [] : [effectChart(nameOf(family[0]!, 'ranked'), effects, looks)];
  }
  const factor = factorAlong(experiment, family);
  if (factor === null) return barPlots(family, looks);
  const rest = groupBy(family, ({ point }) => JSON.stringify({ ...point, [factor]: null }));
  return rest.flatMap((group) => {
    const { [factor]: _, ...others } = group[0]!.point;
    const byPath = groupBy(group, ({ path }) => path);
    const lines = byPath.map(
      (own): Line => ({
        path: own[0]!.path,
        spots: own
          .flatMap((cell) => spotOf(cell, Number(cell.point[factor])) ?? [])
          .sort((a, b) => Number(a.x) - Number(b.x)),
      }),
    );
    const name = nameOf(group[0]!, pointLabel(others));
    const chart = lineChart({ title: name, factor: axisName(factor), unit: group[0]!.unit, lines }, looks);
    const ratios = experiment === 'size' ? ratioPlots(group, factor, pointLabel(others), looks) : [];
    return [chart, ...ratios];
  });
}

/** What is said of a factor on an axis. */
function axisName(factor: string): string {
  return factor === 'remote' ? 'remote, %' : factor;
}

const preferred: Readonly<Record<string, readonly string[]>> = {
  size: ['bytes'],
  mix: ['remote'],
  count: ['members', 'channels'],
  detection: ['members'],
};

/** The numeric factor that a curve goes along: what the experiment is about, else the one with the most levels. Null where none varies. */
export function factorAlong(experiment: string, cells: readonly Cell[]): string | null {
  const levels = new Map<string, Set<number>>();
  for (const { point } of cells)
    for (const [factor, level] of Object.entries(point))
      if (typeof level === 'number') levels.set(factor, (levels.get(factor) ?? new Set()).add(level));
  const varying = [...levels].filter(([, each]) => each.size > 1).sort((a, b) => b[1].size - a[1].size);
  const named = preferred[experiment]?.find((factor) => (levels.get(factor)?.size ?? 0) > 1);
  return named ?? varying[0]?.[0] ?? null;
}

/** How many times better each of ours is than each of the others, over the sizes, both in the manner that does best at that size. */
function ratioPlots(group: readonly Cell[], factor: string, more: string, looks: Looks): Html[] {
  const paths = [...new Set(group.map(({ path }) => pathOf(path)))];
  const sets = besideEachOther(group);
  return paths.filter(isOurs).flatMap((own) => {
    const lines = paths
      .filter((path) => !isOurs(path))
      .map((path): Line => ({ path, spots: sets.flatMap((set) => ratioSpot(set, own, path, factor) ?? []) }))
      .filter(({ spots }) => spots.length > 0);
    if (lines.length === 0) return [];
    const what = [title(group[0]!.metric).toLowerCase(), more].filter((part) => part !== '').join(', ');
    const name = `How many times better ${own} is, ${what}: ${whereText[group[0]!.where]}`;
    return [lineChart({ title: name, factor: axisName(factor), unit: '×', lines, rule: 1 }, looks)];
  });
}

function ratioSpot(set: readonly Cell[], own: string, path: string, factor: string): Spot | null {
  const [ours, other] = [best(set, own), best(set, path)];
  const ratio = ours === null || other === null ? null : advantage(ours, other);
  if (ratio === null) return null;
  const text = `${ours!.path} against ${other!.path}: ${ratioWithInterval(ratio)}, n = ${ratio.n}`;
  const spot = spotOfEstimate(ratio, Number(ours!.point[factor]), text);
  return { ...spot, noisy: isNoisy(ours!) || isNoisy(other!) };
}

/** Ratio of everything to the same under another name: what is no difference. */
function noisePlot(family: readonly Cell[], looks: Looks): Html[] {
  const rows = besideEachOther(family).flatMap((set) =>
    noisePairs(set).map(({ cell, again, ratio }) => {
      const name = [cell.path, pointLabel(cell.point)].filter((part) => part !== '').join(', ');
      return { path: again.path, spot: spotOfEstimate(ratio, name, `${name}: ${ratioWithInterval(ratio)}`) };
    }),
  );
  if (rows.length === 0) return barPlots(family, looks);
  return [barChart(nameOf(family[0]!, 'the second to the first'), '×', rows, looks, 1)];
}

function barPlots(family: readonly Cell[], looks: Looks): Html[] {
  return besideEachOther(family).map((set) =>
    barChart(
      nameOf(set[0]!, pointLabel(set[0]!.point)),
      set[0]!.unit,
      set.map((cell) => ({ path: cell.path, spot: spotOf(cell, cell.path)! })),
      looks,
    ),
  );
}

/** At most so many plots of distributions for one metric: the ends and the middle of a factor say what the others would. */
const MOST_DISTRIBUTIONS = 3;

function distributionsOf(experiment: string, cells: readonly Cell[], looks: Looks): Html[] {
  const draw = experiment === 'detection' ? cumulativeChart : percentileChart;
  const kept = cells.filter(({ samples }) => samples.some(({ histogram }) => histogram !== undefined));
  return groupBy(kept, ({ where, metric }) => `${where} ${metric}`).flatMap((family) => {
    const sets = besideEachOther(family);
    const chosen =
      experiment === 'detection' || sets.length <= MOST_DISTRIBUTIONS
        ? sets
        : [sets[0]!, sets[sets.length >> 1]!, sets.at(-1)!];
    return chosen.flatMap((set) => {
      const distributions = set.flatMap((cell) => distributionOf(cell) ?? []);
      if (distributions.length === 0) return [];
      const { metric, where, point } = set[0]!;
      const name = `${title(metric)}, every one of them, ${pointLabel(point)}: ${whereText[where]}`;
      return [draw(name, distributions, looks)];
    });
  });
}
