import { FEWEST_ROUNDS, type SeedRow, type Verdict } from '../seeds.ts';
import { digits, ratioWithInterval } from './format.ts';
import { type Html, html } from './html.ts';
import type { Part } from './page.ts';
import { markdownTable } from './summary.ts';
import { table } from './table.ts';

const look: Readonly<Record<Verdict, string>> = {
  beaten: 'good',
  met: 'good',
  'not met': 'bad',
  'not measured': 'warn',
};

const method = `Beaten: the whole interval is above what is asked. Met: the median is at least that. Of several points the best counts for "up to", the worst for what must hold everywhere. A verdict takes ${FEWEST_ROUNDS} rounds. All verdicts are computed from the samples.`;

/** Every seed's headline claim beside what this study measured. */
export function seedPart(rows: readonly SeedRow[]): Part {
  const heads = [
    { name: 'seed' },
    { name: 'claimed or asked for' },
    { name: 'compared' },
    { name: 'at least', number: true },
    { name: 'measured', number: true },
    { name: 'where' },
    { name: 'verdict' },
  ] as const;
  const body = html`<p>${method}</p>${table(
    heads,
    rows.map((row) => [
      row.seed,
      textOf(row),
      row.compared,
      `${digits(row.least)}×`,
      measured(row),
      place(row),
      verdict(row),
    ]),
  )}`;
  return { id: 'seeds', name: 'The papers’ claims, and what was measured', body };
}

export function seedSummary(rows: readonly SeedRow[]): string {
  const heads = ['seed', 'claimed or asked for', 'compared', 'at least', 'measured', 'where', 'verdict'];
  const body = rows.map((row) => [
    row.seed,
    textOf(row),
    row.compared,
    `${digits(row.least)}×`,
    measured(row),
    place(row),
    row.why === '' ? `**${row.verdict}**` : `${row.verdict} (${row.why})`,
  ]);
  return `## The papers' claims, and what was measured\n\n${method}\n\n${markdownTable(heads, body)}`;
}

const textOf = ({ kind, text }: SeedRow): string => (kind === 'claim' ? text : `goal beyond it: ${text}`);

function measured({ reading }: SeedRow): string {
  return reading === null ? '–' : `${ratioWithInterval(reading.factor)}, n = ${reading.factor.n}`;
}

function place({ reading, counts, points }: SeedRow): string {
  if (reading === null) return '';
  return points === 1 ? reading.at : `${reading.at} (the ${counts} of ${points} points)`;
}

function verdict({ verdict: said, why }: SeedRow): Html {
  return html`<span class="${look[said]}">${said}</span>${why === '' ? null : html` <span class="faint">${why}</span>`}`;
}
