import { printReport } from '../harness/report.ts';
import { detailsFile, writeResults } from '../harness/results.ts';
import { oursName } from '../harness/rows.ts';
import { median } from '../harness/statistics.ts';
import type { SpreadRow } from '../harness/types.ts';
import { printSpread } from '../membership/report.ts';
import { asBenchmark, type Item } from './benchmarks.ts';
import { socketRows, withTail } from './rows.ts';
import type { Outcome, Settings } from './schedule.ts';

/** Prints and writes what was taken. Exit status 1 when something of the product is missing. */
export function finish(
  items: readonly Item[],
  outcome: Outcome,
  details: {
    readonly benchmark: 'sockets' | 'sockets-vm';
    readonly settings: Settings;
    readonly machine: object;
    readonly commands?: readonly string[];
  },
  json: string | undefined,
  print: (line: string) => void,
): void {
  const { samples, failures } = outcome;
  const { rows, missing } = socketRows(items, samples);
  const tails = rows.filter((row): row is SpreadRow => 'p99' in row);
  const plain = items.filter(({ id }) => !withTail.has(id));
  printReport(plain.map(asBenchmark), rows, outcome, print);
  printSpread(tails, print);
  const disturbed = samples.length === 0 ? 0 : median(samples.map(({ others }) => others));
  if (disturbed > details.settings.maxOthers)
    print(
      `\nothers used ${(disturbed * 100).toFixed(0)} % of a CPU in the median sample: a look and no result`,
    );
  // A way that gave a number in another round is not missing, and one that did not says why.
  const without = [...failures].filter(([label]) => !samples.some((s) => `${s.id} ${s.name}` === label));
  const failed = Object.fromEntries([...without, ...missing.map((why) => [why, ''] as const)]);
  for (const [label, why] of without) print(`failed: ${label}: ${why}`);
  for (const why of missing) print(`no row: ${why}`);
  if (json !== undefined) {
    const all = { ...details, disturbed, failed, failures: Object.fromEntries(failures), samples };
    writeResults(json, rows, all);
    print(`\nrows: ${json}; raw samples and machine: ${detailsFile(json)}`);
  }
  const short = items.flatMap(({ id, ways }) =>
    ways.some(({ name }) => name === oursName) && !samples.some((s) => s.id === id && s.name === oursName)
      ? [id]
      : [],
  );
  if (short.length === 0) return;
  print(`\nno number of the product for: ${short.join(', ')}`);
  process.exitCode = 1;
}
