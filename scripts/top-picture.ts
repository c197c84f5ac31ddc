/**
 * Runs `ivshmem top` in a terminal against a region with six processes that exchange messages, and draws what the terminal shows.
 * Usage: npx tsx scripts/top-picture.ts [OUT.svg]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Pty } from '../test/support/pty.ts';
import { type Run, screenSvg } from './terminal-svg.ts';

const ROWS = 23;
const COLUMNS = 132;
const out = process.argv[2] ?? 'docs/images/top.svg';

const program = ['--import', 'tsx', 'test/support/busy-region-program.ts'];
const region = spawn(process.execPath, program, { stdio: ['pipe', 'pipe', 'inherit'] });
const [line] = await once(region.stdout, 'data');
const socket = String(line).trim();
const pty = new Pty(`${process.execPath} --import tsx src/cli/main.ts top --socket ${socket}`, ROWS, COLUMNS);
try {
  await pty.shows(/metrics +db-replica +\d/);
  // Rates of a whole interval, after everybody is warm.
  await delay(5000);
  await pty.shows(/web-1 +db-primary +\d/);
  writeFileSync(
    out,
    screenSvg('ivshmem top: members and channels of a region with their rates', rowsOf(pty), COLUMNS),
  );
  pty.type('q');
  await pty.ended();
} finally {
  pty.close();
  region.stdin.end();
}

function rowsOf({ buffer }: Pty): Run[][] {
  const rows: Run[][] = [];
  for (let row = 0; row < ROWS - 1; row++) {
    const cells = buffer.getLine(row);
    const runs: { text: string; color: number | null; dim: boolean; inverse: boolean }[] = [];
    for (let column = 0; column < COLUMNS; column++) {
      const cell = cells?.getCell(column);
      const style = {
        color: cell?.isFgPalette() ? cell.getFgColor() : null,
        dim: (cell?.isDim() ?? 0) > 0,
        inverse: (cell?.isInverse() ?? 0) > 0,
      };
      const last = runs.at(-1);
      const text = cell?.getChars() || ' ';
      const same = last?.color === style.color && last.dim === style.dim && last.inverse === style.inverse;
      if (last !== undefined && same) last.text += text;
      else runs.push({ text, ...style });
    }
    rows.push(runs);
  }
  return rows;
}
