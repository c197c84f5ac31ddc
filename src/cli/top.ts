import { setTimeout as delay } from 'node:timers/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { IvshmemError } from '../errors/index.ts';
import { printJson, printLine } from './print.ts';
import type { Place } from './region/source.ts';

interface Flags extends Place {
  readonly interval: number;
  readonly once?: boolean;
  readonly json?: boolean;
}

/** Wide enough for every column, where there is no terminal to ask. */
const PRINTED_COLUMNS = 160;

export function register(program: Command): void {
  program
    .command('top')
    .description('watch members, channels, rates, doorbells and memory of a region')
    .option(
      '--socket <path>',
      "the region's socket (default: IVSHMEM_SOCKET, else /run/ivshmem/default.sock)",
    )
    .option('--device <device>', 'PCI address or region name, where a VM has several devices')
    .option('--interval <seconds>', 'how often to look', seconds, 1)
    .option('--once', 'print one picture, of the rates over one interval, and end')
    .option('--json', 'with --once: print the counters as JSON')
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const live = !flags.once && !flags.json;
  if (live && process.stdout.isTTY !== true) throw new IvshmemError('ERR_IVSHMEM_CLI_TERMINAL', {});
  const { openSource } = await import('./region/source.ts');
  const source = await openSource(flags);
  try {
    if (live) {
      // Ink draws nothing before the end where it believes to be in CI, by variables that any shell may have. A terminal is there.
      process.env.CI = 'false';
      const { watch } = await import('./top/watch.ts');
      await watch(source, flags.interval * 1000);
      return;
    }
    const first = await source.sample();
    if (flags.json) {
      printJson(first);
      return;
    }
    await delay(flags.interval * 1000);
    const { modelOf } = await import('./top/model.ts');
    const { picture, textOf } = await import('./top/layout.ts');
    const model = modelOf(await source.sample(), first, 'slot');
    const { head, body } = picture(model, process.stdout.columns ?? PRINTED_COLUMNS);
    printLine(textOf([...head, ...body]));
    if (source.note !== null) process.stderr.write(`note: ${source.note}\n`);
  } finally {
    source.close();
  }
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value >= 0.1 && value <= 3600)) throw new InvalidArgumentError('It must be from 0.1 to 3600.');
  return value;
}
