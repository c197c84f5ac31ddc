import { median, quantile } from '../harness/statistics.ts';
import type { SpreadRow } from '../harness/types.ts';
import type { DetectRound } from './detect.ts';
import { sizes } from './figures.ts';
import { kinds } from './sightings.ts';

/** Prints every row with its tail, and every goal with whether it is met. */
export function printSpread(rows: readonly SpreadRow[], print: (line: string) => void): void {
  let id = '';
  for (const row of rows) {
    if (row.id !== id) {
      id = row.id;
      print(`\n${id}: ${row.metric} (${row.unit}, ${row.better} is better)`);
      print(`  ours: ${tail(row.ours, row.p99, row.worst)}`);
    }
    const ratio = `${Number(row.ratio.toPrecision(3))}x`;
    print(
      `  ${row.baselineName}: ${tail(row.baseline, row.baselineP99, row.baselineWorst)}; ours / it ${ratio}`,
    );
    for (const { text, met } of row.target ?? []) print(`  goal ${text}: ${met ? 'met' : 'MISSED'}`);
  }
}

function tail(middle: number, p99: number, worst: number): string {
  return `${short(middle)}, p99 ${short(p99)}, worst ${short(worst)}`;
}

function short(value: number): string {
  return String(Number(value.toPrecision(4)));
}

/** What a change costs beyond its rows, one line for each number of members and kind. */
export function summaries(rounds: readonly DetectRound[]): string[] {
  return sizes(rounds).flatMap((members) => {
    const own = rounds.filter((round) => round.members === members).flatMap(({ delays }) => delays);
    return kinds.flatMap((kind) => {
      const changes = own.filter(({ cause }) => cause.kind === kind && !cause.cold);
      if (changes.length === 0) return [];
      const of = (what: string, values: readonly number[]) =>
        values.length === 0
          ? `${what} unknown`
          : `${what} ${short(median(values))} (p99 ${short(quantile(values, 0.99))})`;
      const known = changes.flatMap(({ serverMs }) => (serverMs === null ? [] : [serverMs]));
      const all = changes.map(({ ms }) => Math.max(...ms));
      const spread = changes.map(({ spreadMs }) => spreadMs);
      const each = spread.map((ms) => (ms * 1000) / Math.max(1, members - 2));
      return [
        `${kind}, ${members} members, ${changes.length} changes, ms: ${of('to the server', known)}, ${of('to all', all)}, ` +
          `${of('first to last', spread)}, per further member ${members > 2 ? `${short(median(each))} us` : 'none'}`,
      ];
    });
  });
}
