import { median } from '../../src/demo/figures.ts';
import type { Planned } from '../../src/study/results.ts';
import type { Beside, Job, Tools } from '../../src/study/suite.ts';
import { oursName } from '../harness/rows.ts';
import {
  connectItem,
  type Item,
  nativeHttpItem,
  type Sampling,
  stallItem,
  type Way,
} from '../sockets/benchmarks.ts';
import type { Taken } from '../sockets/commands.ts';
import type { NativePairs } from '../sockets/native-pairs.ts';

/** The pairs of one round, as the tools of a suite. */
export interface PairTools extends Tools {
  readonly pairs: NativePairs;
}

/** What a way of `bench sockets` is called in a study. */
const pathOf = (name: string): string => (name === oursName ? 'shared-memory' : name);

/** Switches, connections and an HTTP server, as `bench sockets` measures them. */
export function socketJobs(sampling: Sampling): Job<PairTools>[] {
  const [way] = stallItem.ways;
  return [
    itemJob(stallItem, way!, sampling, {
      ...{ experiment: 'switch', point: { bytes: 16_384 }, metric: 'gap', unit: 'ms', better: 'lower' },
      beside: stallFigures,
    }),
    ...connectItem.ways.map((one) =>
      itemJob(connectItem, one, sampling, {
        ...{ experiment: 'switch', point: {}, metric: 'connect', unit: 'us', better: 'lower' },
      }),
    ),
    ...nativeHttpItem.ways.map((one) =>
      itemJob(nativeHttpItem, one, sampling, {
        ...{
          experiment: 'applications',
          point: { app: 'http' },
          metric: 'rate',
          unit: 'op/s',
          better: 'higher',
        },
      }),
    ),
  ];
}

interface As extends Pick<Planned, 'experiment' | 'point' | 'metric' | 'unit' | 'better'> {
  readonly beside?: (taken: Taken) => Beside[];
}

function itemJob(item: Item, way: Way, sampling: Sampling, { beside, ...what }: As): Job<PairTools> {
  return {
    planned: { ...what, where: 'native', path: pathOf(way.name) },
    take: async ({ pairs }) => {
      try {
        const taken = await (await pairs.get(way.pair)).ask(item.command(way, sampling));
        return { value: taken.value, ...(beside === undefined ? {} : { beside: beside(taken) }) };
      } catch (error) {
        await pairs.drop(way.pair);
        throw error;
      }
    },
  };
}

/** The same stream left alone for as long: what of a gap is the switch's. And how long a switch to TCP and back takes in all. */
function stallFigures({ raw }: Taken): Beside[] {
  const own = { unit: 'ms', better: 'lower' } as const;
  return [
    { ...own, metric: 'gap', path: 'no-switch', value: median(raw?.still ?? []) },
    { ...own, metric: 'time', value: median(raw?.window ?? []) },
  ];
}
