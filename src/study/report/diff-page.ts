import type { Change, Diff, DiffRow } from '../diff.ts';
import { digits, figure, pointLabel, title, whereText } from './format.ts';
import { type Html, html, raw } from './html.ts';
import { style } from './style.ts';
import { markdownTable } from './summary.ts';
import { table } from './table.ts';

const heads = [
  'change',
  'what',
  'point',
  'contestant',
  'before',
  'after',
  'after / before',
  'p',
  'superiority',
];
const look: Readonly<Record<Change, string>> = {
  better: 'good',
  worse: 'bad',
  noise: 'faint',
  appeared: 'warn',
  disappeared: 'warn',
};

const method =
  'Changed is what Mann-Whitney’s test calls so after correction for the number of points (Benjamini-Hochberg, 5 %), and what differs by more than the same thing from itself in either study. Superiority: how often a sample after is above one before; 50 % is no difference.';

/** The comparison as text: what changed, then how much did not. */
export function diffText(diff: Diff): string {
  const changed = diff.rows.filter(({ change }) => change !== 'noise');
  const parts = [
    `# ${nameOf(diff)}`,
    verdict(diff),
    ...diff.notes.map((note) => `- ${note}`),
    ...(changed.length === 0 ? [] : [markdownTable(heads, changed.map(cellsOf))]),
    method,
  ];
  return `${parts.join('\n\n')}\n`;
}

/** The comparison as one HTML file that fetches nothing; all points, changed ones first. */
export function diffHtml(diff: Diff): string {
  const changed = diff.rows.filter(({ change }) => change !== 'noise');
  const rest = diff.rows.filter(({ change }) => change === 'noise');
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${nameOf(diff)}</title><style>${raw(style)}</style></head>
<body><header><h1>${nameOf(diff)}</h1><p>${verdict(diff)}</p>${
    diff.notes.length === 0
      ? null
      : html`<ul>${diff.notes.map((note) => html`<li class="warn">${note}</li>`)}</ul>`
  }</header><main>
<section id="changed"><h2>Changed</h2><p>${method}</p>${
    changed.length === 0 ? html`<p>Nothing.</p>` : rows(changed)
  }</section>
<section id="noise"><h2>Noise</h2><details><summary>${rest.length} points</summary>${rows(rest)}</details></section>
</main></body></html>
`.html;
}

function nameOf({ before, after }: Diff): string {
  const name = ({ machine }: Diff['before']): string =>
    `${machine.name} ${machine.at.slice(0, 10)} (${machine.commit})`;
  return `${name(before)} and ${name(after)}`;
}

function verdict({ rows }: Diff): string {
  const count = (change: Change): number => rows.filter((row) => row.change === change).length;
  const lost = count('appeared') + count('disappeared');
  return `${count('better')} better, ${count('worse')} worse, ${count('noise')} not told from noise${lost > 0 ? `, ${lost} in one study only` : ''}.`;
}

function rows(all: readonly DiffRow[]): Html {
  return table(
    heads.map((name, index) => (index >= 4 ? { name, number: true as const } : { name })),
    all.map((row) => {
      const [change, ...others] = cellsOf(row);
      return [html`<span class="${look[row.change]}">${change!}</span>`, ...others];
    }),
  );
}

function cellsOf({ before, after, change, comparison, p }: DiffRow): string[] {
  const cell = (after ?? before)!;
  const median = (each: DiffRow['after']): string =>
    each?.estimate ? `${figure(each.estimate.value, each.unit)} (n = ${each.estimate.n})` : '–';
  const what = [
    change,
    `${title(cell.metric)}, ${whereText[cell.where]}`,
    pointLabel(cell.point),
    cell.path,
    median(before),
    median(after),
  ];
  if (comparison === null) return [...what, '', '', ''];
  const { value, low, high } = comparison.ratio;
  const superiority = `${Math.round(comparison.superiority * 100)} %`;
  return [...what, `${digits(value)}× [${digits(low)}, ${digits(high)}]`, digits(p), superiority];
}
