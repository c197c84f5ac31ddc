import path from 'node:path';
import { benchRoot, bundlePrograms } from '../harness/build.ts';
import { shuffled } from '../harness/statistics.ts';
import { type DetectRound, detectRound, type Units } from './detect.ts';
import { type VmChange, vmRound } from './detect-vm.ts';
import { bundle, Fleet } from './fleet.ts';
import { type IdleSample, type IdleTimes, idleRound } from './idle.ts';
import { type RestartSample, Restarts } from './restart.ts';
import { Vms } from './vms.ts';

export const parts = ['detect', 'idle', 'restart', 'vms'] as const;
export type Part = (typeof parts)[number];

export interface Settings {
  readonly rounds: number;
  readonly sizes: readonly number[];
  readonly units: Units;
  /** Paced leaves and paced crashes in turn, by rounds, and no round that does not count. */
  readonly brief: boolean;
  readonly idle: IdleTimes;
  /** Length of one window in which the server is restarted, or not, milliseconds. */
  readonly restartMs: number;
}

/** Everything that was measured. */
export interface Collected {
  readonly detect: DetectRound[];
  readonly idle: IdleSample[];
  readonly restart: RestartSample[];
  readonly vm: VmChange[];
  /** The full QEMU commands. */
  readonly commands: string[];
  /** What was not seen, or could not be measured: none in a run that counts. */
  readonly failures: string[];
}

/** Not counted: until the code of all is compiled. */
const warmUp: Units = { pacedLeaves: 0, pacedCrashes: 0, leaves: 10, crashes: 1 };

function unitsIn(round: number, { units, brief }: Settings): Units {
  if (!brief) return units;
  return round % 2 === 1 ? { ...units, pacedCrashes: 0 } : { ...units, pacedLeaves: 0 };
}

/** Fleets of all sizes stay up for the whole run; in each round each is measured once, in random order. */
export async function measureMembers(
  settings: Settings,
  chosen: ReadonlySet<Part>,
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
      ...(chosen.has('detect') ? fleets : []).map((fleet) => async (round: number) => {
        const result = await detectRound(fleet, round, unitsIn(round, settings), random);
        detect.push(result);
        failures.push(...result.wrong.map((what) => `${fleet.members} members, round ${round}: ${what}`));
        progress(
          `round ${round}/${settings.rounds}  ${fleet.members} members: ${result.delays.length} changes`,
        );
      }),
      ...(chosen.has('idle') ? [largest] : []).map((fleet) => async (round: number) => {
        const samples = await idleRound(fleet, round, settings.idle, random);
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

export async function measureRestarts(
  { rounds, restartMs, brief }: Settings,
  random: () => number,
  { restart }: Collected,
  progress: (line: string) => void,
): Promise<void> {
  const [command, exchange] = await bundlePrograms([
    path.resolve(benchRoot, '../src/cli/main.ts'),
    path.join(benchRoot, 'membership/programs/membership-exchange.ts'),
  ]);
  const restarts = await Restarts.start(command!, exchange!, restartMs);
  try {
    // The first restart of each kind runs code that was never run.
    if (!brief) await restarts.round(0, random);
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

/** Three VMs beside members on this host. */
export async function measureVms(
  rounds: number,
  random: () => number,
  { vm, commands, failures }: Collected,
  progress: (line: string) => void,
): Promise<void> {
  const bundles = await bundle();
  const [acks] = await bundlePrograms([path.join(benchRoot, 'membership/programs/membership-acks.ts')]);
  progress('booting three VMs');
  const vms = await Vms.start(bundles, acks!, progress);
  commands.push(...vms.commands);
  try {
    for (let round = 1; round <= rounds; round++) {
      const { changes, wrong } = await vmRound(vms, round, random);
      vm.push(...changes);
      failures.push(...wrong.map((what) => `VMs: ${what}`));
      progress(`round ${round}/${rounds}  VMs: ${changes.length} changes`);
    }
  } finally {
    await vms.close();
  }
}
