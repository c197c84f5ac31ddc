import { calibration } from '../projection/fit.ts';
import type { Finding, Projection } from '../projection/index.ts';
import type { Spot } from './chart.ts';
import { bytes, digits, figure, levelText } from './format.ts';
import { type Html, html } from './html.ts';
import { lineChart } from './lines.ts';
import type { Part } from './page.ts';
import { looksOf } from './palette.ts';
import { markdownTable } from './summary.ts';
import { table } from './table.ts';

const text =
  'Laws with two constants, found from some of the points of this study and checked against others that were held out. The error is that of the points held out; a law that is more than 25 % off at one of them, or that no point is left to check, is not calibrated, and nothing is projected with it. Beyond the largest level that was measured nothing was checked: it says what the costs come to if nothing else happens.';
const heads = [
  ...[
    'law',
    'fixed',
    'each',
    'found from',
    'held out',
    'median error',
    'worst error',
    'does it hold',
    'projected',
  ],
];
const churnText =
  'Changes of members that come at random to a server that takes one at a time, simulated change by change: its time for a change and the time until others know are the laws above.';
const churnHeads = [
  'members',
  'changes a second',
  'server’s load',
  'known after (median)',
  'known after (p99)',
];
const spreadHeads = ['hosts', 'local share', 'times faster than TCP for all'];

/** Where the study's costs lead; null where it measured nothing to project from. */
export function projectionPart(projection: Projection): Part | null {
  const { findings, churn, spread } = projection;
  if (findings.length === 0) return null;
  const looks = looksOf([{ path: 'measured' }, { path: 'held out' }, { path: 'model' }]);
  const plots = findings
    .filter(({ law }) => law.calibrated.length + law.heldOut.length > 2)
    .map((finding) => plot(finding, looks));
  const body = html`<p>${text}</p><div class="plots">${plots}</div>${listed(heads, findings.map(findingRow))}${
    churn.length === 0
      ? null
      : html`<h3>Members that come and go</h3><p>${churnText}${warning(projection.uncertain)}</p>${listed(churnHeads, churnRows(projection))}`
  }${
    spread.length === 0
      ? null
      : html`<h3>Hosts</h3><p>${spreadText(projection)}</p>${listed(spreadHeads, spreadRows(projection))}`
  }`;
  return { id: 'projection', name: 'Beyond this machine', body };
}

export function projectionSummary(projection: Projection): string {
  const { findings, churn, spread } = projection;
  if (findings.length === 0) return '';
  const parts = [`## Beyond this machine\n\n${text}`, markdownTable(heads, findings.map(findingRow))];
  if (churn.length > 0)
    parts.push(
      `${churnText}${warning(projection.uncertain)}`,
      markdownTable(churnHeads, churnRows(projection)),
    );
  if (spread.length > 0)
    parts.push(spreadText(projection), markdownTable(spreadHeads, spreadRows(projection)));
  return parts.join('\n\n');
}

function listed(names: readonly string[], rows: readonly (readonly string[])[]): Html {
  return table(
    names.map((name, index) => (index === 0 ? { name } : { name, number: true as const })),
    rows,
  );
}

function findingRow({ name, factor, unit, law, until }: Finding): string[] {
  const { shape, fixed, each, calibrated, heldOut, medianError, worstError } = law;
  const per = shape === 'linear' ? (factor === 'remote' ? '%' : singular(factor)) : `doubling of ${factor}`;
  const percent = (error: number | null): string =>
    error === null ? 'not checked' : `${digits(error * 100)} %`;
  const most = Math.max(...calibrated.map(({ x }) => x));
  const { holds, why } = calibration(law);
  return [
    name,
    figure(fixed, unit),
    `${figure(each, unit)} a ${per}`,
    `${calibrated.length} points`,
    `${heldOut.length} points`,
    percent(medianError),
    percent(worstError),
    holds ? 'yes' : why,
    !holds
      ? 'nothing: the law does not hold'
      : until <= most
        ? 'between what was measured'
        : `${figure(law.at(until), unit)} at ${levelText(factor, until)} (measured to ${levelText(factor, most)})`,
  ];
}

const singular = (factor: string): string => factor.replace(/s$/, '');

/** What must be known of the laws below a table: none of it counts where they do not hold. */
function warning(names: readonly string[]): string {
  return names.length === 0
    ? ''
    : ` Not calibrated in this study, so that these figures are orders of magnitude at best: ${names.join('; ')}.`;
}

function churnRows({ churn }: Projection): string[][] {
  return churn.map(({ members, perSecond, load, median, p99 }) => {
    const time = (ns: number): string => (Number.isFinite(ns) ? figure(ns, 'ns') : 'never: it falls behind');
    return [String(members), String(perSecond), `${digits(load * 100)} %`, time(median), time(p99)];
  });
}

function spreadText({ spreadBytes }: Projection): string {
  return `1,000 members spread evenly over hosts: every member talks to all others alike, and in the last row nine of ten messages stay on their host. Round trips of ${bytes(spreadBytes)} as measured here; what leaves a host takes as long as TCP does on one host, which is less than between two: with a network between them the gain is smaller.`;
}

function spreadRows({ spread }: Projection): string[][] {
  return spread.map(({ hosts, local, gain }) => [
    String(hosts),
    `${digits(local * 100)} %`,
    `${digits(gain)}×`,
  ]);
}

function plot({ name, factor, unit, law, until }: Finding, looks: ReturnType<typeof looksOf>): Html {
  const spot = (x: number, y: number, what: string): Spot => ({
    ...{ x, y, low: y, high: y, noisy: false },
    text: `${what}: ${figure(y, unit)} at ${levelText(factor, x)}`,
  });
  const measured = [...law.calibrated, ...law.heldOut].sort((a, b) => a.x - b.x);
  const least = measured[0]!.x;
  const steps =
    least === 0 ? [0, 25, 50, 75, 100] : powersBetween(least, Math.max(until, measured.at(-1)!.x));
  const lines = [
    {
      path: 'measured',
      only: 'marks' as const,
      spots: law.calibrated.map(({ x, y }) => spot(x, y, 'measured')),
    },
    ...(law.heldOut.length === 0
      ? []
      : [
          {
            path: 'held out',
            only: 'marks' as const,
            spots: law.heldOut.map(({ x, y }) => spot(x, y, 'held out')),
          },
        ]),
    { path: 'model', only: 'curve' as const, spots: steps.map((x) => spot(x, law.at(x), 'model')) },
  ];
  return lineChart({ title: `${name}: measured and projected`, factor, unit, lines }, looks);
}

function powersBetween(least: number, most: number): number[] {
  const count = 60;
  return Array.from({ length: count + 1 }, (_, index) => least * (most / least) ** (index / count));
}
