import { type Command, InvalidArgumentError } from 'commander';
import type { DiffRow } from '../study/diff.ts';
import { printJson, printLine } from './print.ts';
import { registerEnd } from './study-end.ts';

interface RunFlags {
  readonly quick: boolean;
  readonly peer?: string;
  readonly port: number;
  readonly device?: string;
  readonly addresses?: string[];
  readonly folder?: string;
  readonly name?: string;
  readonly rounds?: number;
  readonly seed: number;
  readonly budget?: number;
}

interface AnswerFlags {
  readonly host: string;
  readonly port: number;
  readonly device?: string;
  readonly addresses?: string[];
}

const PORT = 7450;
/** The one after it is one, too. */
const MOST_PORT = 65_534;
const DEVICE = [
  '--device <address>',
  "PCI address of the ivshmem device, where there are several, or a region's socket",
] as const;
const ADDRESSES = [
  '--addresses <addresses...>',
  'of this machine, where they are not those of its network interfaces',
] as const;

export function register(program: Command): void {
  const study = program
    .command('study')
    .description('measure this machine, or two VMs, and write a report with plots');
  study
    .command('run')
    .description(
      'measure, or go on where a study was interrupted: two processes of this host, or this VM and --peer',
    )
    .option('--quick', 'few points, 3 rounds: minutes instead of hours', false)
    .option(
      '--peer <host>',
      'the VM where `ivshmem study answer` runs, by its address on their common network',
    )
    .option('--port <number>', 'of the other side, and the one after it', port, PORT)
    .option(...DEVICE)
    .option(...ADDRESSES)
    .option('--folder <folder>', 'where to (default: study/DATE-NAME)')
    .option('--name <name>', "of the machine, instead of the host's")
    .option('--rounds <number>', 'samples of each point (default: 7; 3 with --quick)', whole)
    .option('--seed <number>', 'of the random order', whole, (Date.now() % 2 ** 31) + 1)
    .option('--budget <seconds>', 'begin no sample after that time', whole)
    .action(run);
  study
    .command('answer')
    .description('be the other side of a study, until interrupted')
    .option('--host <address>', 'listen there', '0.0.0.0')
    .option('--port <number>', 'and the one after it', port, PORT)
    .option(...DEVICE)
    .option(...ADDRESSES)
    .action(answer);
  study
    .command('report')
    .description('write the report and the summary of a study again')
    .argument('<folder>', 'of the study')
    .action(report);
  study
    .command('diff')
    .description('tell what changed between two studies from noise')
    .argument('<before>', 'folder of a study')
    .argument('<after>', 'folder of another one')
    .option('--json', 'print as JSON')
    .action(diff);
  registerEnd(study);
}

async function run(flags: RunFlags, command: Command): Promise<void> {
  const { studyOwnMachine } = await import('../study/own-machine.ts');
  const { peer, folder, name, rounds, budget, port, quick, seed, device = '', addresses = [] } = flags;
  const outcome = await studyOwnMachine({
    program: [...process.execArgv, process.argv[1]!, 'study', 'end'],
    ...{ port, quick, seed, region: device, addresses, version: versionOf(command) },
    ...(peer === undefined ? {} : { peer }),
    ...(folder === undefined ? {} : { folder }),
    ...(name === undefined ? {} : { name }),
    ...(rounds === undefined ? {} : { rounds }),
    ...(budget === undefined ? {} : { budgetMs: budget * 1000 }),
    say: (line) => void process.stderr.write(`${line}\n`),
  });
  // What could not be measured is in the report; a script must hear of it, too.
  if (outcome.failed > 0) process.exitCode = 1;
}

/** Of the package: the version of the topmost command. */
function versionOf(command: Command): string {
  return command.parent === null ? (command.version() ?? 'unknown') : versionOf(command.parent);
}

async function answer({ host, port, device = '', addresses = [] }: AnswerFlags): Promise<void> {
  const { answerAll } = await import('../study/end/run-end.ts');
  for (const what of await answerAll(device, addresses, host, port)) printLine(`answering: ${what}`);
  // Its region and its servers keep nothing alive that is not asked for: an interrupt ends this.
  await new Promise<void>((resolve) => {
    const alive = setInterval(() => {}, 2 ** 30);
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => {
        clearInterval(alive);
        resolve();
      });
  });
  process.exit(0);
}

async function report(folder: string): Promise<void> {
  const { writeReport } = await import('../study/report/index.ts');
  const { html, summary } = await writeReport(folder);
  printLine(html);
  printLine(summary);
}

async function diff(before: string, after: string, { json }: { json?: boolean }): Promise<void> {
  const { diffStudies } = await import('../study/diff.ts');
  const { diffText } = await import('../study/report/diff-page.ts');
  const found = diffStudies(before, after);
  if (json) printJson({ notes: found.notes, rows: found.rows.map(plainRow) });
  else printLine(diffText(found));
}

/** What a program wants of a row: the names of what was compared, and the verdict. */
function plainRow({ before, after, change, comparison, p, floor }: DiffRow): object {
  const { experiment, where, point, path, metric, unit } = (after ?? before)!;
  const values = { before: before?.estimate ?? null, after: after?.estimate ?? null };
  return {
    experiment,
    where,
    point,
    path,
    metric,
    unit,
    change,
    p,
    floor,
    ratio: comparison?.ratio ?? null,
    ...values,
  };
}

function port(text: string): number {
  const value = whole(text);
  if (value > MOST_PORT) throw new InvalidArgumentError(`It must be a whole number from 1 to ${MOST_PORT}.`);
  return value;
}

function whole(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError('It must be a whole number from 1.');
  return value;
}
