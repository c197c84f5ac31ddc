import type { Distribution } from '../tails.ts';
import { figureScale, frame, type Looks, plotBlock, type Scale, scaleOptions } from './chart.ts';
import { dot, lineY, svg } from './drawing.ts';
import { figure } from './format.ts';
import type { Html } from './html.ts';
import { axes } from './lines.ts';

/** The tail is most of what matters: the axis gives each further nine as much room. */
const shares = [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99999];
const nines: Scale['ticks'] = [1, 2, 10, 100, 1000, 10_000];
const ninesText: Readonly<Record<number, string>> = {
  1: '0',
  2: '50 %',
  10: '90 %',
  100: '99 %',
  1000: '99.9 %',
  10000: '99.99 %',
};

/** Times over percentiles: as far as there are at least ten measurements beyond a point. */
export function percentileChart(title: string, distributions: readonly Distribution[], looks: Looks): Html {
  const curves = distributions.map(({ path, count, quantile }) => ({
    path,
    spots: shares
      .filter((share) => share <= 0.5 || (1 - share) * count >= 10)
      .map((share) => {
        const y = quantile(share);
        return {
          x: 1 / (1 - share),
          y,
          text: `${path}: ${share * 100} % within ${figure(y, 'ns')} (${count})`,
        };
      }),
  }));
  const most = Math.max(...curves.flatMap(({ spots }) => spots.map(({ x }) => x)));
  const x: Scale = {
    type: 'log',
    domain: [1, most],
    ticks: nines.filter((nine) => nine <= most * 1.01),
    text: (nine) => ninesText[nine]!,
  };
  const y = figureScale(
    curves.flatMap(({ spots }) => spots.map((spot) => spot.y)),
    'ns',
  );
  return curvesBlock(title, curves, { x, y, label: 'share of all that took no longer' }, looks);
}

/** The share that had happened by when. */
export function cumulativeChart(title: string, distributions: readonly Distribution[], looks: Looks): Html {
  const steps = Array.from({ length: 51 }, (_, index) => index / 50);
  const curves = distributions.map(({ path, count, quantile }) => ({
    path,
    spots: steps.map((share) => {
      const x = quantile(share);
      return { x, y: share, text: `${path}: ${share * 100} % within ${figure(x, 'ns')} (${count})` };
    }),
  }));
  const x = figureScale(
    curves.flatMap(({ spots }) => spots.map((spot) => spot.x)),
    'ns',
  );
  const y: Scale = {
    type: 'linear',
    domain: [0, 1],
    ticks: [0, 0.25, 0.5, 0.75, 1],
    text: (share) => `${share * 100} %`,
  };
  return curvesBlock(title, curves, { x, y, label: 'time from the cause' }, looks);
}

/** `label`: of the x axis. */
function curvesBlock(
  title: string,
  curves: readonly { readonly path: string; readonly spots: readonly object[] }[],
  { x, y, label }: { readonly x: Scale; readonly y: Scale; readonly label: string },
  looks: Looks,
): Html {
  return plotBlock(
    title,
    svg(
      title,
      frame({
        x: scaleOptions(x),
        y: scaleOptions(y),
        marks: [...axes(x, y, label), ...curves.flatMap(({ path, spots }) => curve(spots, path, looks))],
      }),
    ),
    curves.map(({ path }) => path),
    looks,
  );
}

function curve(spots: readonly object[], path: string, looks: Looks) {
  const { colour, symbol, dash } = looks.get(path)!;
  return [
    lineY(spots, { x: 'x', y: 'y', stroke: colour, strokeWidth: 2, strokeDasharray: dash }),
    dot(
      spots.filter((_, index) => spots.length < 20 || index % 10 === 5),
      { x: 'x', y: 'y', fill: colour, symbol, r: 3, title: 'text' },
    ),
  ];
}
