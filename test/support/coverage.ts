/** Fails when fewer than 90 % of the lines of src/ were run; names the files below 80 %. Reads c8's summary. */
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';

const LINES_PERCENT = 90;
const summary = JSON.parse(readFileSync('coverage/coverage-summary.json', 'utf8')) as Record<
  string,
  { lines: { pct: number } }
>;
const total = summary.total!.lines.pct;
for (const [file, { lines }] of Object.entries(summary)) {
  if (file !== 'total' && lines.pct < 80)
    console.log(`${lines.pct.toFixed(1).padStart(6)} % ${relative('.', file)}`);
}
console.log(`${total} % of the lines of src/ (at least ${LINES_PERCENT} % wanted)`);
if (!(total >= LINES_PERCENT)) process.exitCode = 1;
