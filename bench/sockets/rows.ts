import { makeRows, oursName } from '../harness/rows.ts';
import type { Row, SpreadRow } from '../harness/types.ts';
import { type Figure, type Goal, type Rounds, spreadRow } from '../membership/rows.ts';
import { asBenchmark, connectItem, type Item, stallItem } from './benchmarks.ts';
import type { SocketSample } from './schedule.ts';

/** What has a tail: set-up times and stalls. Everything else is a median over the rounds. */
export const withTail: ReadonlySet<string> = new Set([connectItem.id, stallItem.id]);

export interface Made {
  readonly rows: readonly (Row | SpreadRow)[];
  /** Why a row with a tail is not there. */
  readonly missing: readonly string[];
}

export function socketRows(items: readonly Item[], samples: readonly SocketSample[]): Made {
  const plain = items.filter(({ id }) => !withTail.has(id)).map(asBenchmark);
  const figures = items.flatMap((item) => {
    const own = samples.filter(({ id }) => id === item.id);
    if (item.id === connectItem.id) return connectFigures(item, own);
    return item.id === stallItem.id ? [stallFigure(item, own)] : [];
  });
  const made = figures.map(spreadRow);
  return {
    rows: [
      ...makeRows(plain, samples).map((row) => judged(row, items)),
      ...made.filter((row) => typeof row !== 'string'),
    ],
    missing: made.filter((row) => typeof row === 'string'),
  };
}

/** The row with what came of its goal, if it has one. */
function judged(row: Row, items: readonly Item[]): Row {
  const { id, better, ratio, baselineName } = row;
  const target = items.find((item) => item.id === id)?.target;
  if (target?.baselineName !== baselineName) return row;
  const met = better === 'lower' ? ratio <= target.ratio : ratio >= target.ratio;
  const text = `${better === 'lower' ? '<=' : '>='} ${target.ratio}x ${baselineName}`;
  return { ...row, target: [{ text, met }] };
}

const setUp: Goal = { text: '<= 1.5x of TCP', met: ({ ratio }) => ratio <= 1.5 };

function connectFigures(item: Item, samples: readonly SocketSample[]): Figure[] {
  const of = (name: string): Rounds => samples.filter((s) => s.name === name).map(({ batches }) => batches);
  const shared = samples.filter((s) => s.name === oursName).map(({ raw }) => raw?.shared ?? []);
  const { id, metric, unit, target } = item;
  const baselines = item.ways.map(({ name }) => name).filter((name) => name !== oursName);
  const judged = target!.baselineName;
  return [
    ...baselines.map((name) => ({
      ...{ id, metric, unit, ours: of(oursName), baselineName: name, baseline: of(name) },
      ...(name === judged ? { goals: [setUp] } : {}),
    })),
    {
      ...{ id: `${id}-shared-memory`, unit, ours: shared, baselineName: judged, baseline: of(judged) },
      metric: metric.replace(
        'the first bytes of the answer',
        'sending on shared memory; there, to the first bytes of the answer',
      ),
    },
  ];
}

const stall: Goal = { text: 'p99 <= 50 ms', met: ({ p99 }) => p99 <= 50 };

function stallFigure({ id, metric, unit }: Item, samples: readonly SocketSample[]): Figure {
  const ours = samples.map(({ batches }) => batches);
  return {
    ...{ id, unit, ours, baselineName: 'no-switch', baseline: samples.map(({ raw }) => raw?.still ?? []) },
    metric: `${metric}, ${ours.flat().length} switches; there, in windows as long without a switch`,
    goals: [stall],
  };
}
