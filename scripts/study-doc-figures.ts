import { advantage, besideEachOther, type Cell } from '../src/study/cells.ts';
import { best } from '../src/study/ours.ts';
import { pointLabel, ratioWithInterval, title, whereText, withInterval } from '../src/study/report/format.ts';
import { markdownTable } from '../src/study/report/summary.ts';
import type { Study } from '../src/study/results.ts';

/** What is shown of an experiment: ours, and what it is beside. */
interface Shown {
  readonly experiment: string;
  readonly metric: string;
  readonly ours: string;
  readonly others: readonly string[];
  readonly point?: (point: Cell['point']) => boolean;
}

const large = ({ bytes }: Cell['point']): boolean => bytes === 65_536;
const ends = (point: Cell['point']): boolean => point.bytes === 64 || large(point);
/** All that docs/study.md shows. */
export const everyFigure: readonly Shown[] = [
  ...['round-trip', 'throughput'].flatMap((metric) =>
    ['channel', 'shared-memory'].map((ours) => ({
      ...{ experiment: 'size', metric, ours, others: ['unix', 'tcp', 'virtio-net'], point: ends },
    })),
  ),
  { experiment: 'applications', metric: 'rate', ours: 'shared-memory', others: ['tcp', 'virtio-net'] },
  { experiment: 'applications', metric: 'rate', ours: 'tun', others: ['virtio-net'] },
  { experiment: 'applications', metric: 'throughput', ours: 'shared-memory', others: ['tcp', 'virtio-net'] },
  { experiment: 'detection', metric: 'time', ours: 'event', others: ['poll-1s'] },
  {
    ...{ experiment: 'dsm', metric: 'time', ours: 'space', others: ['private', 'messages', 'tcp'] },
    point: ({ task }) => /^(access|fault|lock|barrier)/.test(String(task)),
  },
];

/** What README shows: a line for each promise. */
export const frontFigures: readonly Shown[] = [
  ...['channel', 'shared-memory'].flatMap((ours) => [
    { experiment: 'size', metric: 'round-trip', ours, others: ['unix', 'virtio-net'], point: ends },
    { experiment: 'size', metric: 'throughput', ours, others: ['unix', 'virtio-net'], point: large },
  ]),
  { experiment: 'applications', metric: 'rate', ours: 'shared-memory', others: ['tcp', 'virtio-net'] },
  {
    ...{ experiment: 'detection', metric: 'time', ours: 'event', others: ['poll-1s'] },
    point: ({ members }) => members === 8,
  },
  {
    ...{ experiment: 'dsm', metric: 'time', ours: 'space', others: ['private'] },
    point: ({ task }) => task === 'access-random',
  },
];

/** The figures that a document shows: medians with their intervals, and how many times better ours is. */
export function figuresTable(cells: readonly Cell[], shown: readonly Shown[]): string {
  const rows = shown.flatMap(({ experiment, metric, ours, others, point = () => true }) =>
    besideEachOther(
      cells.filter((cell) => cell.experiment === experiment && cell.metric === metric && point(cell.point)),
    ).flatMap((set) => {
      const own = best(set, ours);
      if (own === null) return [];
      return others.flatMap((name) => {
        const other = best(set, name);
        const ratio = other === null ? null : advantage(own, other);
        if (other === null || ratio === null) return [];
        const what = [title(metric), pointLabel(own.point), whereText[own.where]].filter(
          (part) => part !== '',
        );
        return [
          [
            what.join(', '),
            `${own.path}: ${withInterval(own.estimate!, own.unit)}`,
            `${other.path}: ${withInterval(other.estimate!, other.unit)}`,
            ratioWithInterval(ratio),
          ],
        ];
      });
    }),
  );
  return rows.length === 0 ? '' : markdownTable(['what', 'ours', 'beside', 'ours is better by'], rows);
}

/** The machine and the kind of study, without which figures mean nothing. */
export function machineText(study: Study, cells: readonly Cell[]): string {
  const { machine, plan } = study;
  const virtual = machine.hypervisor ? ', in a virtual machine' : '';
  return `${machine.cpu}, ${machine.cpus} processors${virtual}; Linux ${machine.kernel}; ${machine.qemu}, ${machine.accelerator}; Node ${machine.node}; ${machine.at.slice(0, 10)}, ${plan.quick ? 'a quick study, ' : ''}${plan.rounds} rounds. A figure is the median of the rounds with its interval.${doubts(study, cells)}`;
}

/** What a reader must know before any figure: how much was disturbed, and how much is missing. */
function doubts({ plan }: Study, cells: readonly Cell[]): string {
  const measured = cells.filter(({ estimate }) => estimate !== null);
  const noisy = measured.filter(({ noisy }) => noisy.length > 0).length;
  const short = measured.filter(({ values }) => values.length < plan.rounds).length;
  return [
    noisy === 0
      ? ''
      : ` **${noisy} of ${measured.length} figures were disturbed: others used the processors meanwhile.**`,
    short === 0 ? '' : ` **${short} have fewer rounds than planned, because the time ended (n).**`,
  ].join('');
}
