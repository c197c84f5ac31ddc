import { Times } from '../../src/study/histogram.ts';
import { randomSource } from '../../src/study/random.ts';
import type { Planned } from '../../src/study/results.ts';
import type { Beside, Job, Result, Tools } from '../../src/study/suite.ts';
import { type DetectRound, detectRound, type Units } from '../membership/detect.ts';
import { type Bundles, Fleet } from '../membership/fleet.ts';
import { type Delays, type Kind, kinds } from '../membership/sightings.ts';

const WARM_UP: Units = { pacedLeaves: 0, pacedCrashes: 0, leaves: 10, crashes: 0 };

const time = { metric: 'time', unit: 'ns', better: 'lower' } as const;

/** Who hears when of a member that joins, leaves or is killed: by the event, and by reading the table every second or ten times a second. */
export function detectionJobs(
  members: readonly number[],
  units: Units,
  seed: number,
  bundles: Bundles,
): Job<Tools>[] {
  return members.map((count) => {
    const planned: Planned = {
      ...{ experiment: 'detection', where: 'native', path: 'event', ...time },
      point: { members: count, change: 'join' },
    };
    return {
      planned,
      take: async () => {
        const fleet = await Fleet.start(count, bundles);
        try {
          const random = randomSource(seed + count);
          // The first join of a process is the compiler's, and does not count.
          await detectRound(fleet, 0, WARM_UP, random);
          return resultOf(count, await detectRound(fleet, 1, units, random));
        } finally {
          await fleet.close();
        }
      },
    };
  });
}

/** @throws Error when a change was not seen, or seen as another one: that is no figure, but a fault. */
export function resultOf(members: number, round: DetectRound): Result {
  if (round.wrong.length > 0) throw new Error(round.wrong.slice(0, 3).join('; '));
  const own = figureOf(round.delays, 'join');
  if (own === null) throw new Error('nobody joined');
  const beside = kinds.flatMap((kind): Beside[] => {
    const point = { members, change: kind };
    const event = kind === 'join' ? null : figureOf(round.delays, kind);
    const polled = Object.entries(round.polled).flatMap(([path, delays]) => {
      const figure = figureOf(delays, kind);
      return figure === null ? [] : [{ ...time, ...figure, path, point }];
    });
    return [...(event === null ? [] : [{ ...time, ...event, point }]), ...polled];
  });
  // What a change costs the server does not hang on who sees it how.
  const cost = { metric: 'cpu-per-change', unit: 'us', better: 'lower', value: round.serverUs } as const;
  return { ...own, beside: [...beside, { ...cost, experiment: 'count', point: { members }, path: 'event' }] };
}

function figureOf(delays: readonly Delays[], kind: Kind): { value: number; histogram: string } | null {
  const times = new Times();
  for (const { cause, ms } of delays) {
    // The first join of a process is the compiler's, not the region's.
    if (cause.kind !== kind || cause.cold) continue;
    for (const one of ms) times.add(one * 1e6);
  }
  return times.count === 0 ? null : { value: times.quantile(0.5), histogram: times.encode() };
}
