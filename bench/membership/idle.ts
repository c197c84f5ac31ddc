import { setTimeout as delay } from 'node:timers/promises';
import { oursName } from '../harness/rows.ts';
import { shuffled } from '../harness/statistics.ts';
import { now } from './clock.ts';
import type { Fleet } from './fleet.ts';
import { baselines } from './polling.ts';
import { difference, readActivity } from './proc.ts';
import type { Polling } from './programs/membership-member.ts';

/** One window in which nothing happens. */
export interface IdleSample {
  readonly name: string;
  readonly round: number;
  readonly members: number;
  readonly seconds: number;
  /** Voluntary context switches of all threads of the server and all members, per second. */
  readonly wakeups: number;
  /** CPU time of the same, milliseconds per second. */
  readonly cpuMs: number;
  /** Threads that woke, as `pid/tid name`, with how often. */
  readonly awake: Readonly<Record<string, number>>;
  /** The server's pid, to read `awake` with. */
  readonly server: number;
}

/** What one round takes. */
export interface IdleTimes {
  readonly windowMs: number;
  /**
   * After a change of what members do. Node itself is not idle at once: its engine comes back about 8 s after work to give
   * memory back.
   */
  readonly settleMs: number;
}

/** A window for members that watch and one for each way of polling, in random order. */
export async function idleRound(
  fleet: Fleet,
  round: number,
  times: IdleTimes,
  random: () => number,
): Promise<IdleSample[]> {
  const samples: IdleSample[] = [];
  const members = [...fleet.watchers, fleet.mover];
  await fleet.mover.ask('join', 'mover-idle');
  for (const name of shuffled([oursName, ...baselines.map((one) => one.name)], random)) {
    const everyMs = baselines.find((one) => one.name === name)?.everyMs;
    for (const member of members) {
      await member.ask('rest');
      if (everyMs === undefined) await member.ask('watch');
      else await member.ask<void>('poll', { everyMs, phases: 1 } satisfies Polling);
    }
    samples.push({ name, round, members: fleet.members, ...(await window(fleet, times)) });
  }
  await fleet.mover.ask('rest');
  await fleet.mover.ask('leave', 'mover-idle');
  for (const watcher of fleet.watchers) {
    await watcher.ask('rest');
    await watcher.ask('watch');
  }
  return samples;
}

async function window(fleet: Fleet, { windowMs, settleMs }: IdleTimes) {
  const pids = fleet.processes.map(({ pid }) => pid);
  await delay(settleMs);
  const [before, from] = [readActivity(pids), now()];
  await delay(windowMs);
  const [after, to] = [readActivity(pids), now()];
  const seconds = (to - from) / 1e9;
  const { switches, cpuNs, awake } = difference(before, after);
  return {
    seconds,
    wakeups: switches / seconds,
    cpuMs: cpuNs / 1e6 / seconds,
    awake,
    server: fleet.server.pid,
  };
}
