import type { Row, SpreadRow } from '../bench/harness/types.ts';
import { checkRow, formatValue, hasTail } from './bench-doc-rows.ts';

/**
 * The tables of a run of `bench sockets`, `bench sockets-vm` or `bench dsm`: one line for each id with all its baselines, then those with a tail. `failed`:
 * what the run could not measure, with the reasons.
 */
export function socketsTables(rows: readonly Row[], failed: Readonly<Record<string, string>> = {}): string[] {
  for (const row of rows) checkRow(row);
  const tails = rows.filter(hasTail);
  const plain = rows.filter((row) => !hasTail(row));
  const lines = plain.length === 0 ? [] : [...plainTable(plain), ''];
  if (tails.length > 0) lines.push(...tailTable(tails), '');
  lines.push('↓ lower is better, ↑ higher is better; ratio = ours / baseline, both of the same run.');
  const missing = Object.entries(failed).map(([what, why]) => `${what}${why === '' ? '' : `: ${why}`}`);
  if (missing.length > 0) lines.push('', `Not measured: ${missing.join('; ').replaceAll('|', '\\|')}.`);
  return lines;
}

const arrow = ({ better }: Row): string => (better === 'lower' ? '↓' : '↑');
const cell = (text: string): string => text.replaceAll('|', '\\|');
const goals = (rows: readonly Row[]): string =>
  rows
    .flatMap(({ target = [] }) => target)
    .map(({ text, met }) => `${text}: ${met ? 'met' : '**missed**'}`)
    .join('; ');

function plainTable(rows: readonly Row[]): string[] {
  const baselines = [...new Set(rows.map(({ baselineName }) => baselineName))];
  const ids = [...new Set(rows.map(({ id }) => id))];
  const head = baselines.flatMap((name) => [`\`${name}\``, 'ratio']);
  return [
    `| id | what | ours | from, to | ${head.join(' | ')} | goal |`,
    `|---|---|---:|---:|${head.map(() => '---:|').join('')}---|`,
    ...ids.map((id) => {
      const own = rows.filter((row) => row.id === id);
      const [first] = own;
      const { metric, unit, ours, samples } = first!;
      const spread = [Math.min(...samples.ours), Math.max(...samples.ours)].map(formatValue).join(', ');
      const cells = baselines.flatMap((name) => {
        const row = own.find(({ baselineName }) => baselineName === name);
        return row === undefined ? ['', ''] : [formatValue(row.baseline), `${formatValue(row.ratio)}x`];
      });
      const what = `${cell(metric)}, ${unit} ${arrow(first!)}`;
      return `| \`${id}\` | ${what} | ${formatValue(ours)} | ${spread} | ${cells.join(' | ')} | ${goals(own)} |`;
    }),
  ];
}

function tailTable(rows: readonly SpreadRow[]): string[] {
  return [
    '| id | what | ours | p99 | worst | baseline | | p99 | ratio | goal |',
    '|---|---|---:|---:|---:|---|---:|---:|---:|---|',
    ...rows.map((row) => {
      const ours = [row.ours, row.p99, row.worst].map(formatValue).join(' | ');
      const baseline = [row.baseline, row.baselineP99].map(formatValue).join(' | ');
      const what = `${cell(row.metric)}, ${row.unit} ${arrow(row)}`;
      return `| \`${row.id}\` | ${what} | ${ours} | \`${row.baselineName}\` | ${baseline} | ${formatValue(row.ratio)}x | ${goals([row])} |`;
    }),
  ];
}
