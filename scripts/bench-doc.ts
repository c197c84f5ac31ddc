/**
 * Writes the numbers of a benchmark run into docs/performance.md (every row) and README.md (the floors), between the marks
 * bench:begin and bench:end. Usage: npx tsx scripts/bench-doc.ts RESULT.json [VM-RESULT.json ...]
 * The machine comes from RESULT.details.json beside the first file, or is this one.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describeMachine, type Machine } from '../bench/harness/machine.ts';
import type { Row } from '../bench/harness/types.ts';

/** The baselines README shows: the C floors, the other path between VMs, and what a Node program would use instead. */
const SHORT = ['c-line', 'c-packed-ring', 'c-copy', 'c-eventfd', 'unix', 'virtio-net'];
const BEGIN = '<!-- bench:begin -->';
const END = '<!-- bench:end -->';

export type MachineLine = Pick<Machine, 'cpu' | 'cpus' | 'hypervisor' | 'kernel' | 'node' | 'at'> & {
  /** In the results of VMs: processor, kernel, QEMU and accelerator in one line. */
  readonly line?: string;
};

/** A number with the prefix that keeps it short: 1.45M, 12.2k, 0.85. */
export function formatValue(value: number): string {
  for (const [size, suffix] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e4, 'k'],
  ] as const) {
    if (Math.abs(value) >= size) return (value / (suffix === 'k' ? 1e3 : size)).toPrecision(3) + suffix;
  }
  const short = value.toPrecision(3);
  return short.includes('e') ? String(Math.round(value)) : short;
}

/**
 * The block: the machine in one line (a second one for the rows between VMs, with QEMU and accelerator), then a table.
 * Throws on rows that are none.
 */
export function benchBlock(rows: readonly Row[], machine: MachineLine, vmLine?: string): string {
  for (const row of rows) checkRow(row);
  if (rows.length === 0) throw new Error('there is no row in it');
  const where = machine.hypervisor ? 'in a virtual machine' : 'no hypervisor';
  const date = machine.at.slice(0, 10);
  const lines = [
    `${machine.cpu}, ${machine.cpus} CPUs, ${where}; Linux ${machine.kernel}, Node ${machine.node.replace(/^v/, '')}; ${date}. Medians.`,
    ...(vmLine === undefined ? [] : ['', `Rows \`vm-…\`: ${vmLine}.`]),
    '',
    '| id | what | ours | baseline | | ratio | samples |',
    '|---|---|---:|---|---:|---:|---:|',
  ];
  for (const row of rows) {
    const better = row.better === 'lower' ? '↓' : '↑';
    const values = [row.ours, row.baseline].map((value) => `${formatValue(value)} ${row.unit}`);
    lines.push(
      `| \`${row.id}\` | ${row.metric.replaceAll('|', '\\|')} ${better} | ${values[0]} | \`${row.baselineName}\` | ${values[1]} | ${formatValue(row.ratio)}x | ${row.samples.ours.length} |`,
    );
  }
  lines.push('', '↓ lower is better, ↑ higher is better; ratio = ours / baseline, both of the same run.');
  return lines.join('\n');
}

/** The document with the text between the marks replaced. */
export function replaceBlock(document: string, block: string): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`the marks ${BEGIN} and ${END} are not in the document`);
  return `${document.slice(0, begin + BEGIN.length)}\n${block}\n${document.slice(end)}`;
}

/** The rows README shows. */
export function shortRows(rows: readonly Row[]): Row[] {
  return rows.filter((row) => SHORT.includes(row.baselineName));
}

function checkRow(row: Row): void {
  const numbers = [row.ours, row.baseline, row.ratio];
  const fine =
    numbers.every((value) => typeof value === 'number' && Number.isFinite(value)) &&
    [row.id, row.metric, row.unit, row.baselineName].every((value) => typeof value === 'string') &&
    (row.better === 'lower' || row.better === 'higher') &&
    Array.isArray(row.samples?.ours);
  if (!fine) throw new Error(`this is no row of a benchmark: ${JSON.stringify(row).slice(0, 200)}`);
  if (Math.abs(row.ours / row.baseline - row.ratio) > 0.01 * row.ratio)
    throw new Error(`the ratio of ${row.id} against ${row.baselineName} is not ours / baseline`);
}

function machineOf(file: string): MachineLine {
  const details = file.replace(/(\.json)?$/, '.details.json');
  if (!existsSync(details)) return describeMachine();
  return (JSON.parse(readFileSync(details, 'utf8')) as { machine: MachineLine }).machine;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const files = process.argv.slice(2);
  if (files.length === 0)
    throw new Error('usage: npx tsx scripts/bench-doc.ts RESULT.json [VM-RESULT.json ...]');
  const rows = files.flatMap((file) => JSON.parse(readFileSync(file, 'utf8')) as Row[]);
  const machine = machineOf(files[0]!);
  const vmLine = files.map((file) => machineOf(file).line).find((line) => line !== undefined);
  const write = (name: string, shown: readonly Row[]): void => {
    const path = new URL(`../${name}`, import.meta.url);
    writeFileSync(path, replaceBlock(readFileSync(path, 'utf8'), benchBlock(shown, machine, vmLine)));
    console.log(`${name}: ${shown.length} rows`);
  };
  write('docs/performance.md', rows);
  write('README.md', shortRows(rows));
}
