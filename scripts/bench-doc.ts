/**
 * Writes the numbers of benchmark runs into docs/performance.md (every row) and README.md (the floors), between the marks
 * bench:begin and bench:end; those of `bench membership` into docs/performance.md between bench:membership:begin and
 * bench:membership:end, and of `bench sockets`, `bench sockets-vm` and `bench dsm` between theirs. Usage: npx tsx scripts/bench-doc.ts RESULT.json ... What is given is written, the rest stays.
 * The machine comes from RESULT.details.json beside the first file of its kind, or is this one.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describeMachine, type Machine } from '../bench/harness/machine.ts';
import type { Row, SpreadRow } from '../bench/harness/types.ts';
import { checkRow, formatValue, hasTail } from './bench-doc-rows.ts';
import { socketsTables } from './bench-doc-sockets.ts';

/** The baselines README shows: the C floors, the other path between VMs, and what a Node program would use instead. */
const SHORT = ['c-line', 'c-packed-ring', 'c-copy', 'c-eventfd', 'unix', 'virtio-net'];

export type MachineLine = Pick<Machine, 'cpu' | 'cpus' | 'hypervisor' | 'kernel' | 'node' | 'at'> & {
  /** In the results of VMs: processor, kernel, QEMU and accelerator in one line. */
  readonly line?: string;
};

/**
 * The block: the machine in one line (a second one for the rows between VMs, with QEMU and accelerator), then a table.
 * Throws on rows that are none.
 */
export function benchBlock(rows: readonly Row[], machine: MachineLine, vmLine?: string): string {
  const lines = [
    ...head(rows, machine, vmLine, 'vm-…'),
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

/** The block of the membership benchmark: medians, tails, goals. */
export function membershipBlock(rows: readonly SpreadRow[], machine: MachineLine, vmLine?: string): string {
  const lines = [
    ...head(rows, machine, vmLine, 'detect-…-vm'),
    '| id | what | ours | p99 | worst | baseline | | p99 | ratio | goal |',
    '|---|---|---:|---:|---:|---|---:|---:|---:|---|',
  ];
  for (const row of rows) {
    const { id, metric, unit, baselineName, target = [] } = row;
    const value = (number: number): string => `${formatValue(number)} ${unit}`;
    const goals = target.map(({ text, met }) => `${text}: ${met ? 'met' : '**missed**'}`).join('; ');
    const ours = [row.ours, row.p99, row.worst].map(value).join(' | ');
    const baseline = `\`${baselineName}\` | ${value(row.baseline)} | ${value(row.baselineP99)}`;
    lines.push(
      `| \`${id}\` | ${metric.replaceAll('|', '\\|')} | ${ours} | ${baseline} | ${formatValue(row.ratio)}x | ${goals} |`,
    );
  }
  lines.push('', 'Lower is better everywhere; ratio = ours / baseline, both of the same run.');
  return lines.join('\n');
}

/** The block of one run of `bench sockets`, `bench sockets-vm` or `bench dsm`. */
export function socketsBlock(
  rows: readonly Row[],
  machine: MachineLine,
  failed?: Readonly<Record<string, string>>,
): string {
  const { line } = machine;
  const lines = head(rows, machine, undefined, '');
  // Between VMs QEMU and the accelerator count; the rest of the machine is in that line as well.
  const where = line === undefined ? lines : [`${line}; ${machine.at.slice(0, 10)}. Medians.`, ''];
  return [...where, ...socketsTables(rows, failed)].join('\n');
}

/** The machine, where VMs ran, an empty line. Throws on rows that are none. */
function head(
  rows: readonly Row[],
  machine: MachineLine,
  vmLine: string | undefined,
  vmRows: string,
): string[] {
  for (const row of rows) checkRow(row);
  if (rows.length === 0) throw new Error('there is no row in it');
  const where = machine.hypervisor ? 'in a virtual machine' : 'no hypervisor';
  const date = machine.at.slice(0, 10);
  return [
    `${machine.cpu}, ${machine.cpus} CPUs, ${where}; Linux ${machine.kernel}, Node ${machine.node.replace(/^v/, '')}; ${date}. Medians.`,
    ...(vmLine === undefined ? [] : ['', `Rows \`${vmRows}\`: ${vmLine}.`]),
    '',
  ];
}

/** The document with the text between the marks `name`:begin and `name`:end replaced. */
export function replaceBlock(document: string, block: string, name = 'bench'): string {
  const [opening, closing] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
  const begin = document.indexOf(opening);
  const end = document.indexOf(closing);
  if (begin < 0 || end < begin)
    throw new Error(`the marks ${opening} and ${closing} are not in the document`);
  return `${document.slice(0, begin + opening.length)}\n${block}\n${document.slice(end)}`;
}

/** The rows README shows. */
export function shortRows(rows: readonly Row[]): Row[] {
  return rows.filter((row) => SHORT.includes(row.baselineName));
}

/** What stands beside the rows. Runs of the kinds that have a block of their own name themselves. */
interface Details {
  readonly machine: MachineLine;
  readonly benchmark?: 'sockets' | 'sockets-vm' | 'dsm';
  readonly failed?: Readonly<Record<string, string>>;
}

function detailsOf(file: string): Details {
  const details = file.replace(/(\.json)?$/, '.details.json');
  if (!existsSync(details)) return { machine: describeMachine() };
  return JSON.parse(readFileSync(details, 'utf8')) as Details;
}

/** The rows of files of one kind, their machine, and where VMs ran if there were any. */
function gather<T extends Row>(files: readonly { readonly file: string; readonly rows: readonly T[] }[]) {
  const machines = files.map(({ file }) => detailsOf(file).machine);
  const vmLine = machines.map(({ line }) => line).find((line) => line !== undefined);
  return { rows: files.flatMap(({ rows }) => rows), machine: machines[0]!, vmLine };
}

function write(name: string, block: string, rows: number, marks?: string): void {
  const path = new URL(`../${name}`, import.meta.url);
  writeFileSync(path, replaceBlock(readFileSync(path, 'utf8'), block, marks));
  console.log(`${name}: ${rows} rows`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const files = process.argv
    .slice(2)
    .map((file) => ({ file, rows: JSON.parse(readFileSync(file, 'utf8')) as Row[] }));
  if (files.length === 0) throw new Error('usage: npx tsx scripts/bench-doc.ts RESULT.json ...');
  for (const { file, rows } of files) {
    const { benchmark, machine, failed } = detailsOf(file);
    if (benchmark !== undefined)
      write('docs/performance.md', socketsBlock(rows, machine, failed), rows.length, `bench:${benchmark}`);
  }
  const others = files.filter(({ file }) => detailsOf(file).benchmark === undefined);
  const plain = others.filter(({ rows }) => !rows.every(hasTail));
  const tails = others.filter(({ rows }) => rows.every(hasTail)) as { file: string; rows: SpreadRow[] }[];
  if (plain.length > 0) {
    const { rows, machine, vmLine } = gather(plain);
    const short = shortRows(rows);
    write('docs/performance.md', benchBlock(rows, machine, vmLine), rows.length);
    write('README.md', benchBlock(short, machine, vmLine), short.length);
  }
  if (tails.length > 0) {
    const { rows, machine, vmLine } = gather(tails);
    write('docs/performance.md', membershipBlock(rows, machine, vmLine), rows.length, 'bench:membership');
  }
}
