import type { Machine } from './machine.ts';
import { oursName } from './rows.ts';
import type { Outcome } from './schedule.ts';
import { median } from './statistics.ts';
import type { Benchmark, Row } from './types.ts';

/** The printed report: one block per id, every contestant with its median, range and ratio, the absent ones with the reason. */
export function printReport(
  benchmarks: readonly Benchmark[],
  rows: readonly Row[],
  outcome: Outcome,
  print: (line: string) => void,
): void {
  for (const benchmark of benchmarks) {
    const { id, metric, unit, better, contestants } = benchmark;
    print(`\n${id}: ${metric} (${unit}, ${better} is better)`);
    const probed = outcome.samples.some((s) => s.id === id && s.lineNs !== undefined);
    const line = (text: string) => (probed ? [text] : []);
    const cells = [['', 'median', 'min', 'max', 'ours / it', ...line('line ns'), 'samples']];
    for (const contestant of contestants) {
      const samples = outcome.samples.filter((s) => s.id === id && s.name === contestant.name);
      const reason = contestant.absent ?? outcome.failures.get(`${id} ${contestant.name}`);
      if (samples.length === 0) {
        cells.push([contestant.name, `${contestant.absent ? 'absent' : 'failed'}: ${reason ?? 'not run'}`]);
        continue;
      }
      const values = samples.map((s) => s.value);
      const row = rows.find((r) => r.id === id && r.baselineName === contestant.name);
      cells.push([
        contestant.name,
        short(median(values)),
        short(Math.min(...values)),
        short(Math.max(...values)),
        contestant.name === oursName || !row ? '' : `${row.ratio.toPrecision(3)}x`,
        ...line(median(samples.map((s) => s.lineNs ?? Number.NaN)).toFixed(0)),
        String(samples.length),
      ]);
    }
    printColumns(cells, print);
    const verdict = judge(benchmark, rows);
    if (verdict) print(verdict);
  }
}

/** Whether the goal is met, or undefined when there is none or no row to judge it by. */
export function judge({ id, better, target }: Benchmark, rows: readonly Row[]): string | undefined {
  const row = target && rows.find((r) => r.id === id && r.baselineName === target.baselineName);
  if (!target || !row) return undefined;
  const met = better === 'lower' ? row.ratio <= target.ratio : row.ratio >= target.ratio;
  const sign = better === 'lower' ? '<=' : '>=';
  return `  goal ${sign} ${target.ratio}x ${target.baselineName}: ${met ? 'met' : 'MISSED'} (${row.ratio.toPrecision(3)}x)`;
}

export function printMachine(machine: Machine, print: (line: string) => void): void {
  const where = machine.hypervisor ? 'in a virtual machine' : 'no hypervisor';
  print(`${machine.cpu}, ${machine.cpus} CPUs (${where}), ${machine.memoryGiB} GiB, Linux ${machine.kernel}`);
  print(`Node ${machine.node}, ${machine.compiler}, load ${machine.load.map((l) => l.toFixed(2)).join(' ')}`);
  print(`caches: ${machine.caches.join('; ')}`);
  print(
    `mitigations: ${Object.entries(machine.mitigations)
      .map(([k, v]) => `${k}: ${v}`)
      .join('; ')}`,
  );
}

function short(value: number): string {
  for (const [size, suffix] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e4, 'k'],
  ] as const) {
    if (value >= size) return (value / (suffix === 'k' ? 1e3 : size)).toPrecision(4) + suffix;
  }
  return value.toPrecision(4);
}

function printColumns(cells: readonly string[][], print: (line: string) => void): void {
  const whole = cells.filter((row) => row.length > 2);
  const widths = whole[0]!.map((_, column) =>
    Math.max(...cells.map((row) => (column === 0 || row.length > 2 ? (row[column]?.length ?? 0) : 0))),
  );
  for (const row of cells) {
    print(
      `  ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(row.length > 2 ? widths[i]! : 0))).join('  ')}`,
    );
  }
}
