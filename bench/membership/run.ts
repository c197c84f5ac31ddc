import { accelerator, machineLine } from '../../qemu/facts.ts';
import { print, progress } from '../harness/lines.ts';
import { describeMachine } from '../harness/machine.ts';
import { printMachine } from '../harness/report.ts';
import { detailsFile, writeResults } from '../harness/results.ts';
import { median, randomSource } from '../harness/statistics.ts';
import { costFigures, detectFigures, idleFigures, restartFigures, vmFigures } from './figures.ts';
import {
  type Collected,
  measureMembers,
  measureRestarts,
  measureVms,
  type Part,
  parts,
  type Settings,
} from './measure.ts';
import { printSpread, summaries } from './report.ts';
import { type Figure, spreadRow } from './rows.ts';

export interface MembershipOptions {
  readonly json?: string;
  readonly rounds?: number;
  readonly quick: boolean;
  readonly seed: number;
  readonly only?: string;
  readonly vms: boolean;
}

const full: Settings = {
  rounds: 5,
  sizes: [2, 8, 64],
  units: { pacedLeaves: 2, pacedCrashes: 2, leaves: 20, crashes: 6 },
  idle: { windowMs: 10_000, settleMs: 12_000 },
  restartMs: 2000,
  brief: false,
};
const look: Settings = {
  rounds: 3,
  sizes: [2, 8],
  units: { pacedLeaves: 1, pacedCrashes: 1, leaves: 5, crashes: 2 },
  idle: { windowMs: 800, settleMs: 400 },
  restartMs: 800,
  brief: true,
};

/** A larger share of a CPU than this makes of a result a look. */
const MOST_OTHERS = 0.1;

/** `bench membership`: runs, prints, writes. Exit status 1 when something was not measured or not seen. */
export async function runMembership(options: MembershipOptions): Promise<void> {
  const plan = options.quick ? look : full;
  const rounds = options.rounds ?? plan.rounds;
  const settings = { ...plan, rounds, seed: options.seed };
  const [chosen, withoutVms] = choose(options);
  const machine = describeMachine();
  printMachine(machine, print);
  print(`${rounds} rounds, members: ${settings.sizes.join(', ')}, seed ${settings.seed}`);
  const all: Collected = { detect: [], idle: [], restart: [], vm: [], commands: [], failures: [] };
  const random = randomSource(settings.seed);
  if (chosen.has('detect') || chosen.has('idle'))
    await attempt('members', all, () => measureMembers(settings, chosen, random, all, progress));
  if (chosen.has('restart'))
    await attempt('restart', all, () => measureRestarts(settings, random, all, progress));
  if (chosen.has('vms')) await attempt('VMs', all, () => measureVms(rounds, random, all, progress));
  const where = chosen.has('vms') ? await accelerator() : '';
  const vmLine = chosen.has('vms') ? { line: await machineLine(), accelerator: where } : {};
  const made = figuresOf(all, where).map(spreadRow);
  const rows = made.filter((row) => typeof row !== 'string');
  all.failures.push(...made.filter((row) => typeof row === 'string'));
  printSpread(rows, print);
  print('');
  const notes = summaries(all.detect);
  for (const line of notes) print(line);
  const disturbed = all.detect.length === 0 ? 0 : median(all.detect.map(({ others }) => others));
  if (disturbed > MOST_OTHERS)
    print(`others used ${(disturbed * 100).toFixed(0)} % of a CPU in the median round: a look and no result`);
  if (withoutVms) print(`no rows of VMs: ${withoutVms}`);
  for (const failure of all.failures) print(`not measured: ${failure}`);
  if (options.json) {
    const details = { machine: { ...machine, ...vmLine }, settings, withoutVms, summaries: notes, ...all };
    writeResults(options.json, rows, details);
    print(`\nrows: ${options.json}; raw samples and machine: ${detailsFile(options.json)}`);
  }
  if (all.failures.length > 0) process.exitCode = 1;
}

/** The parts to measure, and why VMs are not among them. */
function choose({ only, quick, vms }: MembershipOptions): [ReadonlySet<Part>, string] {
  const names = only?.split(',') ?? parts;
  const unknown = names.filter((name) => !(parts as readonly string[]).includes(name));
  if (unknown.length > 0) {
    process.stderr.write(`no such part: ${unknown.join(', ')}; there are ${parts.join(', ')}\n`);
    process.exit(2);
  }
  const chosen = new Set(names as Part[]);
  if (!chosen.has('vms')) return [chosen, ''];
  const why = !vms
    ? '--no-vms'
    : quick && only === undefined
      ? '--quick'
      : process.getuid?.() === 0
        ? ''
        : 'that needs root';
  if (why) chosen.delete('vms');
  return [chosen, why];
}

function figuresOf({ detect, idle, restart, vm }: Collected, where: string): Figure[] {
  const figures = [...detectFigures(detect), ...vmFigures(vm, where), ...costFigures(detect)];
  if (idle.length > 0) figures.push(...idleFigures(idle));
  if (restart.length > 0) figures.push(...restartFigures(restart));
  return figures;
}

async function attempt(what: string, { failures }: Collected, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    failures.push(`${what}: ${(error as Error).stack ?? error}`);
  }
}
