import { oursName } from '../harness/rows.ts';
import { median } from '../harness/statistics.ts';
import type { SpreadRow } from '../harness/types.ts';
import type { DetectRound } from './detect.ts';
import type { VmChange } from './detect-vm.ts';
import type { IdleSample } from './idle.ts';
import { baselines } from './polling.ts';
import type { Event, RestartSample } from './restart.ts';
import type { Figure, Goal, Rounds } from './rows.ts';
import { type Delays, type Kind, kinds } from './sightings.ts';

/** The number of members for which the tail has a goal. */
const MANY = 64;

const causes: Readonly<Record<Kind, string>> = { join: 'open()', leave: 'close()', crash: 'SIGKILL' };

const faster: Goal = { text: 'at least 100x faster than poll-1s', met: (row) => row.ratio <= 0.01 };
const tail: Goal = { text: 'p99 <= 10 ms', met: (row) => row.p99 <= 10 };

/** All figures of detection: by number of members, kind and baseline. */
export function detectFigures(rounds: readonly DetectRound[]): Figure[] {
  return sizes(rounds).flatMap((members) => {
    const own = rounds.filter((round) => round.members === members);
    return kinds.flatMap((kind) => detectFigure(own, members, kind));
  });
}

function detectFigure(rounds: readonly DetectRound[], members: number, kind: Kind): Figure[] {
  const of = (delays: readonly Delays[] | undefined, cold = false) =>
    (delays ?? []).filter(({ cause }) => cause.kind === kind && cause.cold === cold).flatMap(({ ms }) => ms);
  const common = {
    id: `detect-${kind}-${members}`,
    metric: `${causes[kind]} to the event at every other member, ${members} members`,
    unit: 'ms',
  };
  const ours = rounds.map(({ delays }) => of(delays));
  const figures: Figure[] = baselines.map(({ name }) => ({
    ...common,
    ours,
    baselineName: name,
    baseline: rounds.map(({ polled }) => [...of(polled[name]), ...of(polled[name], true)]),
    ...goals(name === 'poll-1s' ? [faster, ...(members === MANY ? [tail] : [])] : []),
  }));
  const cold = rounds.map(({ delays }) => of(delays, true));
  if (kind !== 'join' || cold.flat().length === 0) return figures;
  // How much of it is the compiler of the process that joins, not the region.
  const first = 'join by a process that joined before';
  return [
    ...figures,
    {
      ...common,
      id: `${common.id}-cold`,
      metric: `the first open() of a process to the event at every other member, ${members} members`,
      ours: cold,
      baselineName: first,
      baseline: ours,
    },
  ];
}

/** The same in VMs; `where` is the accelerator, without which a figure means nothing. */
export function vmFigures(changes: readonly VmChange[], where: string): Figure[] {
  const rounds = [...new Set(changes.map(({ round }) => round))];
  const sources = [
    { from: 'host', suffix: 'vm', who: 'a host process', to: 'every VM' },
    { from: 'vm', suffix: 'vm-member', who: "a VM's member", to: 'every other VM' },
  ] as const;
  return sources.flatMap(({ from, suffix, who, to }) =>
    kinds.flatMap((kind) => {
      const own = changes.filter((change) => change.from === from && change.kind === kind && !change.cold);
      if (own.length === 0) return [];
      const by = (of: (change: VmChange) => readonly number[]): Rounds =>
        rounds.map((round) => own.filter((change) => change.round === round).flatMap(of));
      return baselines.map(({ name }) => ({
        id: `detect-${kind}-${suffix}`,
        metric: `${causes[kind]} of ${who} to the event in ${to} (${where})`,
        unit: 'ms',
        ours: by(({ ms }) => ms),
        baselineName: name,
        baseline: by(({ polled }) => polled[name] ?? []),
        ...goals(name === 'poll-1s' ? [faster] : []),
      }));
    }),
  );
}

/** What a change costs the server, against what it would cost if the cost grew as the number of members. */
export function costFigures(rounds: readonly DetectRound[]): Figure[] {
  const [least] = sizes(rounds);
  if (least === undefined) return [];
  const cost = (members: number): Rounds =>
    rounds.filter((round) => round.members === members).map(({ serverUs }) => [serverUs]);
  const unit = median(cost(least).flat());
  return sizes(rounds).map((members) => ({
    id: `change-cost-${members}`,
    metric: `CPU time of the server per change, ${members} members`,
    unit: 'us',
    ours: cost(members),
    baselineName: `linear-from-${least}`,
    baseline: [[(unit * members) / least]],
    ...goals(
      members === least ? [] : [{ text: 'grows at most linearly', met: (row: SpreadRow) => row.ratio <= 1 }],
    ),
  }));
}

const idleWhats = [
  { id: 'idle-wakeups', metric: 'voluntary context switches', unit: '1/s', of: (s: IdleSample) => s.wakeups },
  { id: 'idle-cpu', metric: 'CPU time', unit: 'ms/s', of: (s: IdleSample) => s.cpuMs },
] as const;

export function idleFigures(samples: readonly IdleSample[]): Figure[] {
  const members = samples[0]?.members;
  return idleWhats.flatMap(({ id, metric, unit, of }) => {
    const by = (name: string): Rounds => samples.filter((s) => s.name === name).map((s) => [of(s)]);
    return baselines.map(({ name }) => ({
      id,
      metric: `${metric} of the server and ${members} idle members`,
      unit,
      ours: by(oursName),
      baselineName: name,
      baseline: by(name),
      ...goals(id === 'idle-wakeups' && name === 'poll-1s' ? [none] : []),
    }));
  });
}

const none: Goal = { text: 'no wake-ups', met: (row) => row.ours === 0 };

/** Data plane and membership, for a server that is killed and one that is replaced. */
export function restartFigures(samples: readonly RestartSample[]): Figure[] {
  const by = (event: Event, of: (sample: RestartSample) => number): Rounds =>
    samples.filter((s) => s.event === event).map((s) => [of(s)]);
  const makes = { kill: 'killed', replace: 'replaced' } as const;
  return (['kill', 'replace'] as const).flatMap((event) =>
    (['data', 'membership'] as const).flatMap((plane) => {
      const of = (sample: RestartSample) => (plane === 'data' ? sample.dataMs : sample.membershipMs);
      const what =
        plane === 'data'
          ? 'longest time between replies on a channel'
          : event === 'kill'
            ? 'from the kill to the first answered request'
            : 'longest time between answered requests';
      return (['no-restart', 'unrelated-start'] as const).map((baselineName) => ({
        id: restartId(plane, event),
        metric: `${what}, the server is ${makes[event]}`,
        unit: 'ms',
        ours: by(event, of),
        baselineName,
        baseline: by(baselineName, of),
        ...goals(plane === 'data' ? [unnoticed] : baselineName === 'no-restart' ? [quick] : []),
      }));
    }),
  );
}

/** The plain id is what everybody asks first: messages, while the server is killed. */
function restartId(plane: 'data' | 'membership', event: 'kill' | 'replace'): string {
  return plane === 'data' && event === 'kill' ? 'restart-gap-ms' : `restart-gap-ms-${plane}-${event}`;
}

const unnoticed: Goal = {
  text: '0 ms longer than the baseline, to the millisecond',
  met: (row) => row.ours - row.baseline < 0.5,
};
const quick: Goal = { text: 'worst <= 200 ms', met: (row) => row.worst <= 200 };

function goals(list: readonly Goal[]): { readonly goals?: readonly Goal[] } {
  return list.length === 0 ? {} : { goals: list };
}

export function sizes(rounds: readonly { readonly members: number }[]): number[] {
  return [...new Set(rounds.map(({ members }) => members))].sort((a, b) => a - b);
}
