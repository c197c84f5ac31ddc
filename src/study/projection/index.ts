import { type Cell, groupBy } from '../cells.ts';
import { best } from '../ours.ts';
import { pointText } from '../results.ts';
import { calibration, fit, type Law, type Measured, type Shape } from './fit.ts';
import { simulateQueue } from './queue.ts';

/** A law that was found from the samples of a study, and what it is of. */
export interface Finding {
  readonly name: string;
  readonly factor: string;
  readonly unit: string;
  readonly law: Law;
  /** Levels it is continued to, beyond those that were measured. */
  readonly until: number;
}

/** So many members, changes coming so often: when others know. */
export interface Churn {
  readonly members: number;
  readonly perSecond: number;
  readonly load: number;
  /** Nanoseconds from the cause to the event; infinite where the server falls behind. */
  readonly median: number;
  readonly p99: number;
}

/** Members spread evenly over hosts, each talking to any other alike, or mostly to its own host. */
export interface Spread {
  readonly hosts: number;
  /** Share of the traffic that stays on its host. */
  readonly local: number;
  /** How many times less time a message takes in the mean than with TCP for all. */
  readonly gain: number;
}

export interface Projection {
  readonly findings: readonly Finding[];
  readonly churn: readonly Churn[];
  /** Laws that `churn` takes and that do not hold, each with the reason. */
  readonly uncertain: readonly string[];
  readonly spread: readonly Spread[];
  /** The bytes of a message that `spread` is of. */
  readonly spreadBytes: number;
}

const MOST_MEMBERS = 10_000;
const MOST_CHANNELS = 10_000;
const churnMembers = [64, 1000, 10_000];
const churnRates = [1, 10, 100];
const hostCounts = [1, 2, 4, 10, 100];

/** What the measured costs come to beyond what one machine can hold. Empty lists where a study has not measured what they take. */
export function projectionOf(cells: readonly Cell[]): Projection {
  const measured = cells.filter(({ estimate, where }) => estimate !== null && where === 'native');
  const findings = [
    ...lawsOf(measured, 'size', 'round-trip', 'bytes', 'linear', 16 << 20, 'Round trip'),
    ...lawsOf(
      measured,
      'detection',
      'time',
      'members',
      'linear',
      MOST_MEMBERS,
      'Time to know of a change',
    ).filter(({ path }) => path === 'event'),
    ...lawsOf(
      measured,
      'count',
      'cpu-per-change',
      'members',
      'linear',
      MOST_MEMBERS,
      'Server’s processor time for a change',
    ),
    ...lawsOf(
      measured,
      'count',
      'round-trip',
      'channels',
      'logarithmic',
      MOST_CHANNELS,
      'Round trip over channels in turn',
    ),
    ...mixLaws(measured),
  ];
  return { findings, ...churnOf(findings), ...spreadOf(measured) };
}

function lawsOf(
  cells: readonly Cell[],
  experiment: string,
  metric: string,
  factor: string,
  shape: Shape,
  until: number,
  what: string,
): (Finding & { path: string })[] {
  const own = cells.filter(
    (cell) =>
      cell.experiment === experiment && cell.metric === metric && typeof cell.point[factor] === 'number',
  );
  return groupBy(own, ({ path, point }) => `${path} ${pointText({ ...point, [factor]: 0 })}`).flatMap(
    (group) => {
      const { path, point, unit } = group[0]!;
      const law = fit(pointsOf(group, factor), shape);
      const { [factor]: _, ...rest } = point;
      const name = [what, path, ...Object.values(rest).filter((level) => typeof level === 'string')].join(
        ', ',
      );
      return law === null ? [] : [{ name, factor, unit, law, until, path }];
    },
  );
}

const pointsOf = (cells: readonly Cell[], factor: string): Measured[] =>
  cells.map(({ point, estimate }) => ({ x: Number(point[factor]), y: estimate!.value }));

/** The mean time of a message is that of its parts: found from the ends (all local, all remote), checked against every mix between. */
function mixLaws(cells: readonly Cell[]): Finding[] {
  const own = cells.filter(({ experiment, metric }) => experiment === 'mix' && metric === 'rate');
  return groupBy(own, ({ path }) => path).flatMap((group) => {
    const sorted = group
      .map((cell) => ({ x: Number(cell.point.remote), y: 1e9 / cell.estimate!.value }))
      .sort((a, b) => a.x - b.x);
    const [first, last] = [sorted[0]!, sorted.at(-1)!];
    if (first.x !== 0 || last.x !== 100) return [];
    const each = (last.y - first.y) / 100;
    const at = (x: number): number => first.y + each * x;
    const heldOut = sorted.slice(1, -1).map((point) => ({ ...point, predicted: at(point.x) }));
    const errors = heldOut.map(({ y, predicted }) => Math.abs(predicted / y - 1)).sort((a, b) => a - b);
    const law: Law = {
      ...{ shape: 'linear', fixed: first.y, each, at, calibrated: [first, last], heldOut },
      worstError: errors.at(-1) ?? null,
      medianError: errors[errors.length >> 1] ?? null,
    };
    return [
      { name: `Mean time of a message, ${group[0]!.path}`, factor: 'remote', unit: 'ns', law, until: 100 },
    ];
  });
}

/** The server's queue in front of the time to know, for members and rates that no one machine can try. */
function churnOf(findings: readonly Finding[]): Pick<Projection, 'churn' | 'uncertain'> {
  const known =
    findings.find(({ name }) => /^Time to know.*leave/.test(name)) ??
    findings.find(({ name }) => /^Time to know/.test(name));
  const service = findings.find(({ name }) => name.startsWith('Server’s processor time'));
  if (known === undefined || service === undefined) return { churn: [], uncertain: [] };
  const uncertain = [known, service].flatMap(({ name, law }) => {
    const { holds, why } = calibration(law);
    return holds ? [] : [`${name} (${why})`];
  });
  const inNs = service.unit === 'us' ? 1e3 : service.unit === 'ms' ? 1e6 : 1;
  const churn = churnMembers.flatMap((members) =>
    churnRates.map((perSecond): Churn => {
      const serviceNs = service.law.at(members) * inNs;
      const { median, p99, load } = simulateQueue(perSecond, serviceNs);
      // What is measured as the time to know holds one service already.
      const rest = Math.max(0, known.law.at(members) - serviceNs);
      return { members, perSecond, load, median: median + rest, p99: p99 + rest };
    }),
  );
  return { churn, uncertain };
}

/** What knowing who is local brings to members on several hosts: all talk to all alike, or nine of ten messages stay. */
function spreadOf(cells: readonly Cell[]): Pick<Projection, 'spread' | 'spreadBytes'> {
  const sets = groupBy(
    cells.filter(({ experiment, metric }) => experiment === 'size' && metric === 'round-trip'),
    ({ point }) => pointText(point),
  ).filter((set) => best(set, 'shared-memory') !== null && best(set, 'tcp') !== null);
  const set = sets.find(([cell]) => Number(cell!.point.bytes) >= 1024) ?? sets[0];
  if (set === undefined) return { spread: [], spreadBytes: 0 };
  const [local, remote] = [best(set, 'shared-memory')!.estimate!.value, best(set, 'tcp')!.estimate!.value];
  const gain = (share: number): number => remote / (share * local + (1 - share) * remote);
  const members = 1000;
  const alike = hostCounts.map((hosts) => (members / hosts - 1) / (members - 1));
  const shares = [
    ...alike.map((share, index) => ({ hosts: hostCounts[index]!, local: share })),
    { hosts: 10, local: 0.9 },
  ];
  return {
    spread: shares.map((each) => ({ ...each, gain: gain(each.local) })),
    spreadBytes: Number(set[0]!.point.bytes),
  };
}
