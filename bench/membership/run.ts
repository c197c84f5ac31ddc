import path from 'node:path';
import { benchRoot, bundlePrograms } from '../harness/build.ts';
import { describeMachine } from '../harness/machine.ts';
import { printMachine } from '../harness/report.ts';
import { detailsFile, writeResults } from '../harness/results.ts';
import { randomSource, shuffled } from '../harness/statistics.ts';
import { type DetectRound, detectRound, type Units } from './detect.ts';
import { costFigures, detectFigures, idleFigures, restartFigures } from './figures.ts';
import { bundle, Fleet } from './fleet.ts';
import { type IdleSample, idleRound } from './idle.ts';
import { printSpread, summaries } from './report.ts';
import { type RestartSample, Restarts } from './restart.ts';
import { type Figure, spreadRow } from './rows.ts';

export interface MembershipOptions {
  readonly json?: string;
  readonly rounds?: number;
  readonly quick: boolean;
  readonly seed: number;
  readonly only?: string;
  readonly vms: boolean;
}

interface Plan {
  readonly rounds: number;
  readonly sizes: readonly number[];
  readonly units: Units;
  readonly idleMs: number;
}

const full: Plan = {
  rounds: 5,
  sizes: [2, 8, 64],
  units: { pacedLeaves: 2, pacedCrashes: 2, leaves: 20, crashes: 6 },
  idleMs: 10_000,
};
const look: Plan = {
  rounds: 3,
  sizes: [2, 8],
  units: { pacedLeaves: 1, pacedCrashes: 1, leaves: 5, crashes: 2 },
  idleMs: 2000,
};
/** Not counted: until the code of all is compiled. */
const warmUp: Units = { pacedLeaves: 0, pacedCrashes: 0, leaves: 10, crashes: 1 };

/** Everything that was measured. */
export interface Collected {
  readonly detect: DetectRound[];
  readonly idle: IdleSample[];
  readonly restart: RestartSample[];
  readonly failures: string[];
}

/** `bench membership`: runs, prints, writes. Exit status 1 when something was not measured or not seen. */
export async function runMembership(options: MembershipOptions): Promise<void> {
  const print = (line: string) => void process.stdout.write(`${line}\n`);
  const progress = (line: string) => void process.stderr.write(`${line}\n`);
  const plan = options.quick ? look : full;
  const settings = { ...plan, rounds: options.rounds ?? plan.rounds, seed: options.seed };
  const machine = describeMachine();
  printMachine(machine, print);
  print(`${settings.rounds} rounds, members: ${settings.sizes.join(', ')}, seed ${settings.seed}`);
  const collected: Collected = { detect: [], idle: [], restart: [], failures: [] };
  const parts = new Set(options.only?.split(',') ?? ['detect', 'idle', 'restart']);
  const random = randomSource(settings.seed);
  if (parts.has('detect') || parts.has('idle'))
    await attempt('members', collected, () => measureMembers(settings, parts, random, collected, progress));
  if (parts.has('restart'))
    await attempt('restart', collected, () => measureRestarts(settings.rounds, random, collected, progress));
  const figures = figuresOf(collected);
  const made = figures.map(spreadRow);
  const rows = made.filter((row) => typeof row !== 'string');
  collected.failures.push(...made.filter((row) => typeof row === 'string'));
  printSpread(rows, print);
  for (const line of summaries(collected.detect)) print(line);
  for (const failure of collected.failures) print(`not measured: ${failure}`);
  if (options.json) {
    writeResults(options.json, rows, {
      machine,
      settings,
      summaries: summaries(collected.detect),
      ...collected,
    });
    print(`\nrows: ${options.json}; raw samples and machine: ${detailsFile(options.json)}`);
  }
  if (collected.failures.length > 0) process.exitCode = 1;
}

function figuresOf({ detect, idle, restart }: Collected): Figure[] {
  const figures = [...detectFigures(detect), ...costFigures(detect)];
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

/** Fleets of all sizes stay up for the whole run; in each round each is measured once, in random order. */
async function measureMembers(
  settings: Plan,
  parts: ReadonlySet<string>,
  random: () => number,
  { detect, idle, failures }: Collected,
  progress: (line: string) => void,
): Promise<void> {
  const bundles = await bundle();
  const fleets: Fleet[] = [];
  try {
    for (const size of settings.sizes) {
      progress(`starting a region of ${size} members`);
      const fleet = await Fleet.start(size, bundles);
      fleets.push(fleet);
      await detectRound(fleet, 0, warmUp, random);
    }
    const largest = fleets.at(-1)!;
    const works = [
      ...(parts.has('detect') ? fleets : []).map((fleet) => async (round: number) => {
        const result = await detectRound(fleet, round, settings.units, random);
        detect.push(result);
        failures.push(...result.wrong.map((what) => `${fleet.members} members, round ${round}: ${what}`));
        progress(
          `round ${round}/${settings.rounds}  ${fleet.members} members: ${result.delays.length} changes`,
        );
      }),
      ...(parts.has('idle') ? [largest] : []).map((fleet) => async (round: number) => {
        const samples = await idleRound(fleet, round, settings.idleMs, random);
        idle.push(...samples);
        for (const { name, wakeups, cpuMs } of samples)
          progress(
            `round ${round}/${settings.rounds}  idle ${name}: ${wakeups.toFixed(2)}/s, ${cpuMs.toFixed(3)} ms/s`,
          );
      }),
    ];
    for (let round = 1; round <= settings.rounds; round++)
      for (const work of shuffled(works, random)) await work(round);
  } finally {
    await Promise.all(fleets.map((fleet) => fleet.close()));
  }
}

async function measureRestarts(
  rounds: number,
  random: () => number,
  { restart }: Collected,
  progress: (line: string) => void,
): Promise<void> {
  const [command, exchange] = await bundlePrograms([
    path.resolve(benchRoot, '../src/cli/main.ts'),
    path.join(benchRoot, 'membership/programs/membership-exchange.ts'),
  ]);
  const restarts = await Restarts.start(command!, exchange!);
  try {
    // The first restart of each kind runs code that was never run.
    await restarts.round(0, random);
    for (let round = 1; round <= rounds; round++) {
      const samples = await restarts.round(round, random);
      restart.push(...samples);
      for (const { event, dataMs, membershipMs } of samples)
        progress(
          `round ${round}/${rounds}  ${event}: data ${dataMs.toFixed(2)} ms, membership ${membershipMs.toFixed(2)} ms`,
        );
    }
  } finally {
    await restarts.close();
  }
}
