import { advantage, besideEachOther, type Cell } from './cells.ts';
import { best } from './ours.ts';
import { pointLabel, whereText } from './report/format.ts';
import type { Criterion, Reading } from './seeds.ts';
import { estimate } from './statistics.ts';
import { distributionsOfRounds } from './tails.ts';

type Test = (cell: Cell) => boolean;

/** How many times better `own` is than `other` at every point that has both, each in the manner that does best there. */
function against(own: string, other: string, test: Test): (cells: readonly Cell[]) => Reading[] {
  return (cells) =>
    besideEachOther(cells.filter(test)).flatMap((set) => {
      const [ours, theirs] = [best(set, own), best(set, other)];
      const factor = ours === null || theirs === null ? null : advantage(ours, theirs);
      return factor === null ? [] : [{ factor, at: placeOf(ours!) }];
    });
}

function placeOf({ point, where, metric }: Cell): string {
  return [metric.replaceAll('-', ' '), pointLabel(point), whereText[where]]
    .filter((part) => part !== '')
    .join(', ');
}

const isAt =
  (experiment: string, where: Cell['where'] | null, metric: string): Test =>
  (cell) =>
    cell.experiment === experiment && (where === null || cell.where === where) && cell.metric === metric;
const small =
  (test: Test): Test =>
  (cell) =>
    test(cell) && Number(cell.point.bytes) <= 65_536;
const isSize = isAt('size', 'vm', 'round-trip');
const isStream = isAt('size', 'vm', 'throughput');
const isDetection = isAt('detection', null, 'time');
const isMix: Test = ({ experiment }) => experiment === 'mix';
const remote =
  (share: (percent: number) => boolean): Test =>
  (cell) =>
    isMix(cell) && typeof cell.point.remote === 'number' && share(cell.point.remote);
const sockets = 'sockets on shared memory / TCP over virtio-net, two VMs';
const channels = 'channels / TCP over virtio-net, two VMs';
const events = 'events / polling every second';

/** How many times below a limit the 99th percentile is, round by round. */
function tailBelow(limitNs: number, path: string, test: Test): (cells: readonly Cell[]) => Reading[] {
  return (cells) =>
    cells
      .filter((cell) => test(cell) && cell.path === path)
      .flatMap((cell) => {
        const factors = distributionsOfRounds(cell).map(({ quantile }) => limitNs / quantile(0.99));
        return factors.length === 0 ? [] : [{ factor: estimate(factors), at: placeOf(cell) }];
      });
}

/** How many times narrower the middle 90 % of a path's times are than of another's. */
function steadier(own: string, other: string, test: Test): (cells: readonly Cell[]) => Reading[] {
  const widths = (cell: Cell): number[] =>
    distributionsOfRounds(cell).map(({ quantile }) => quantile(0.95) - quantile(0.05));
  return (cells) =>
    besideEachOther(cells.filter(test)).flatMap((set) => {
      const [ours, theirs] = [set.find(({ path }) => path === own), set.find(({ path }) => path === other)];
      if (ours === undefined || theirs === undefined) return [];
      const [a, b] = [widths(ours), widths(theirs)];
      const ratios = a.flatMap((width, index) =>
        b[index] === undefined || width === 0 ? [] : [b[index] / width],
      );
      return ratios.length === 0 ? [] : [{ factor: estimate(ratios), at: placeOf(ours) }];
    });
}

/** What measures the claims of a seed. */
const commands: Readonly<Record<string, string>> = {
  ZIVM: '`make study`, QUICK=1 or not',
  IVCOM:
    '`make study` as root, which boots two VMs (with QUICK=1, too, where `make image` was run before), or `ivshmem study run --peer` in one of two VMs',
  Naplus: '`make study`, QUICK=1 or not',
  'Residency measurement': '`make study`, QUICK=1 or not',
  CoKeeper: '`make study`, QUICK=1 or not',
};

/** The seeds' headline claims, and what is asked beyond them. A claim without a number ("near native") is given one here. */
const questions: readonly (Omit<Criterion, 'how'> & Partial<Criterion>)[] = [
  {
    ...{
      seed: 'ZIVM',
      kind: 'claim',
      text: 'near-native access to memory shared between VMs, without a copy (here: at least 0.95 of the speed of private memory)',
    },
    ...{ compared: 'shared pages / private memory, after first touch', least: 0.95, counts: 'worst' },
    read: against(
      'space',
      'private',
      ({ experiment, metric, point }) =>
        experiment === 'dsm' &&
        /access|sequential|random/.test(`${metric} ${Object.values(point).join(' ')}`),
    ),
  },
  {
    ...{ seed: 'IVCOM', kind: 'claim', text: 'round trips between VMs up to 3 times shorter' },
    ...{ compared: sockets, least: 3, counts: 'best', read: against('shared-memory', 'virtio-net', isSize) },
  },
  {
    ...{ seed: 'IVCOM', kind: 'claim', text: 'throughput between VMs up to 3 times higher' },
    ...{
      compared: sockets,
      least: 3,
      counts: 'best',
      read: against('shared-memory', 'virtio-net', isStream),
    },
  },
  {
    ...{ seed: 'IVCOM', kind: 'goal', text: 'round trips 10 times shorter at every size up to 64 KiB' },
    ...{
      compared: sockets,
      least: 10,
      counts: 'worst',
      read: against('shared-memory', 'virtio-net', small(isSize)),
    },
  },
  {
    ...{ seed: 'IVCOM', kind: 'goal', text: 'throughput 5 times higher at every size up to 64 KiB' },
    ...{
      compared: sockets,
      least: 5,
      counts: 'worst',
      read: against('shared-memory', 'virtio-net', small(isStream)),
    },
  },
  {
    ...{ seed: 'IVCOM', kind: 'goal', text: 'never slower than TCP, at any size' },
    ...{
      compared: sockets,
      least: 1,
      counts: 'worst',
      read: against('shared-memory', 'virtio-net', (cell) => isSize(cell) || isStream(cell)),
    },
  },
  {
    ...{
      seed: 'IVCOM',
      kind: 'goal',
      text: 'round trips of channels 50 times shorter at every size up to 64 KiB',
    },
    ...{
      compared: channels,
      least: 50,
      counts: 'worst',
      read: against('channel', 'virtio-net', small(isSize)),
    },
  },
  {
    ...{ seed: 'IVCOM', kind: 'goal', text: 'throughput of channels 10 times higher at every size' },
    ...{ compared: channels, least: 10, counts: 'worst', read: against('channel', 'virtio-net', isStream) },
  },
  {
    ...{
      seed: 'Naplus',
      kind: 'claim',
      text: 'a shared space across hosts as large as the sum of their memories (here: larger than the largest of them)',
    },
    ...{ compared: 'bytes of a space / bytes its largest host gives', least: 1, counts: 'best' },
    read: (cells) =>
      cells
        .filter(
          ({ experiment, metric, estimate }) =>
            experiment === 'dsm' && metric === 'size-over-largest-host' && estimate !== null,
        )
        .map((cell) => ({ factor: cell.estimate!, at: placeOf(cell) })),
  },
  {
    ...{
      seed: 'Residency measurement',
      kind: 'claim',
      text: 'local traffic gains from knowing what is local, however much of the traffic is remote',
    },
    ...{
      compared: 'sockets that know / TCP for all, local part, up to 90 % remote',
      least: 1,
      counts: 'worst',
    },
    read: against(
      'shared-memory',
      'tcp',
      (cell) => remote((share) => share < 100)(cell) && cell.point.part === 'local',
    ),
  },
  {
    ...{
      seed: 'Residency measurement',
      kind: 'goal',
      text: 'knowing costs remote traffic nothing (here: at least 0.95 of its speed)',
    },
    ...{ compared: 'sockets that know / TCP for all, remote part', least: 0.95, counts: 'worst' },
    read: against(
      'shared-memory',
      'tcp',
      (cell) => remote((share) => share > 0)(cell) && cell.point.part === 'remote',
    ),
  },
  {
    ...{
      seed: 'CoKeeper',
      kind: 'claim',
      text: 'a change of members is known 10 times sooner than by polling',
    },
    ...{ compared: events, least: 10, counts: 'worst', read: against('event', 'poll-1s', isDetection) },
  },
  {
    ...{ seed: 'CoKeeper', kind: 'claim', text: 'and more steadily' },
    ...{
      compared: `${events}: width of the middle 90 %`,
      least: 1,
      counts: 'worst',
      read: steadier('event', 'poll-1s', isDetection),
    },
  },
  {
    ...{ seed: 'CoKeeper', kind: 'goal', text: '100 times sooner than polling every second' },
    ...{ compared: events, least: 100, counts: 'worst', read: against('event', 'poll-1s', isDetection) },
  },
  {
    ...{ seed: 'CoKeeper', kind: 'goal', text: 'with 64 members 99 % of them know within 10 ms' },
    ...{ compared: '10 ms / 99th percentile', least: 1, counts: 'worst' },
    how: '`make study` without QUICK: it takes 64 members',
    read: tailBelow(10e6, 'event', (cell) => isDetection(cell) && Number(cell.point.members) === 64),
  },
];

export const criteria: readonly Criterion[] = questions.map((question) => ({
  how: commands[question.seed]!,
  ...question,
}));
