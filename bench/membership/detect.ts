import { setTimeout as delay } from 'node:timers/promises';
import { othersShare, readCpuTime } from '../../src/study/cpu-time.ts';
import { shuffled } from '../harness/statistics.ts';
import { now } from './clock.ts';
import type { Fleet } from './fleet.ts';
import { baselines, observers, phases } from './polling.ts';
import type { Program } from './program.ts';
import type { Done, Polling } from './programs/membership-member.ts';
import { type Cause, type Delays, match, type ServerStamp, type Sighting } from './sightings.ts';

/** How often each thing happens in one round. Every unit is a join and an end of the same member. */
export interface Units {
  /** Ends by close(), pollers counted; ends by SIGKILL, pollers counted. */
  readonly pacedLeaves: number;
  readonly pacedCrashes: number;
  /** The same in quick succession, for the tail of ours. */
  readonly leaves: number;
  readonly crashes: number;
}

export interface Unit {
  readonly kind: 'leave' | 'crash';
  readonly paced: boolean;
}

/** What one round with n members gave. */
export interface DetectRound {
  readonly round: number;
  readonly members: number;
  readonly delays: readonly Delays[];
  /** By the name of the baseline. */
  readonly polled: Readonly<Record<string, readonly Delays[]>>;
  readonly wrong: readonly string[];
  /** CPU time of the server per change, microseconds. */
  readonly serverUs: number;
  /** CPU time that others used meanwhile, as a share of one CPU. */
  readonly others: number;
}

/** More than the slowest poller's period: then all of them have seen the change. */
const PACED_MS = 1300;
/** Changes in quick succession are this far apart at least, and at most twice as far. */
const GAP_MS = 30;

export function unitsOf(counts: Units, random: () => number): Unit[] {
  const of = (count: number, kind: Unit['kind'], paced: boolean) =>
    Array.from({ length: count }, () => ({ kind, paced }));
  return shuffled(
    [
      ...of(counts.pacedLeaves, 'leave', true),
      ...of(counts.pacedCrashes, 'crash', true),
      ...of(counts.leaves, 'leave', false),
      ...of(counts.crashes, 'crash', false),
    ],
    random,
  );
}

/** Makes changes in a region, one at a time and in random order, and asks everybody afterwards when they saw them. */
export async function detectRound(
  fleet: Fleet,
  round: number,
  counts: Units,
  random: () => number,
): Promise<DetectRound> {
  const units = unitsOf(counts, random);
  const causes: Cause[] = [];
  // Processes start before anything is measured.
  const victims: Program[] = [];
  for (const { kind } of units) if (kind === 'crash') victims.push(await fleet.spare('victim'));
  await collect(fleet);
  for (const { everyMs } of baselines)
    await fleet.poller.ask<void>('poll', { everyMs, phases } satisfies Polling);
  const pids = [...fleet.processes, fleet.poller].map(({ pid }) => pid);
  const time = readCpuTime(pids);
  const before = await fleet.server.ask<number>('cpu');
  for (const [index, { kind, paced }] of units.entries()) {
    const program = kind === 'crash' ? victims.pop()! : fleet.mover;
    const name = `mover-${round}-${index}`;
    const cold = kind === 'crash';
    const wait = () => pause(paced, random);
    await wait();
    const { at } = await program.ask<Done>('join', name);
    causes.push({ kind: 'join', name, at, cold, paced });
    await settle(paced);
    await wait();
    causes.push({ kind, name, at: await end(program, kind, name), cold: false, paced });
    await settle(paced);
  }
  await delay(GAP_MS);
  const after = await fleet.server.ask<number>('cpu');
  const others = othersShare(time, readCpuTime(pids));
  await fleet.poller.ask('rest');
  return {
    round,
    members: fleet.members,
    ...(await evaluate(fleet, causes)),
    serverUs: (after - before) / causes.length,
    others,
  };
}

async function end(program: Program, kind: Unit['kind'], name: string): Promise<number> {
  if (kind === 'leave') return (await program.ask<Done>('leave', name)).at;
  const at = now();
  program.strike();
  return at;
}

/** Before a change: a random wait, so that changes do not keep step with pollers. */
function pause(paced: boolean, random: () => number): Promise<void> {
  return delay(paced ? (random() * 1000) / phases : GAP_MS * (1 + random()));
}

async function settle(paced: boolean): Promise<void> {
  if (paced) await delay(PACED_MS);
}

async function evaluate(fleet: Fleet, causes: readonly Cause[]) {
  const { stamps, sightings } = await collect(fleet);
  const ours = match(causes, fleet.watching, sightings, { exactly: true, stamps });
  const paced = causes.filter((cause) => cause.paced);
  const wrong = [...ours.wrong];
  const polled: Record<string, readonly Delays[]> = {};
  for (const baseline of baselines) {
    const found = match(paced, observers(baseline, 'poller'), sightings, { exactly: false });
    polled[baseline.name] = found.delays;
    wrong.push(...found.wrong.map((what) => `${baseline.name}: ${what}`));
  }
  return { delays: ours.delays, polled, wrong };
}

/** Takes what everybody noted so far. */
async function collect(fleet: Fleet) {
  const stamps = await fleet.server.ask<ServerStamp[]>('stamps');
  const noted = await Promise.all(
    [...fleet.watchers, fleet.poller].map((program) => program.ask<Sighting[]>('sightings')),
  );
  return { stamps, sightings: noted.flat() };
}
