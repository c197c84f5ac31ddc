import { sizes } from '../../src/study/stream/orders.ts';
import { oursName } from '../harness/rows.ts';
import { connectItem, httpItem, type Item, stallItem, streamItems, type Way } from '../sockets/benchmarks.ts';

/** What everything is measured against: the same over virtio-net between the same two guests. */
export const baselineName = 'virtio-net';

/** Both ways of a program of which there is one pair each. */
const both = (ours: string, baseline: string): readonly Way[] => [
  { name: oursName, pair: ours },
  { name: baselineName, pair: baseline },
];

/** Sizes at which node:net itself is tried over the TUN interface. */
const tunSizes = ['rtt-64', 'rtt-65536', 'throughput-64', 'throughput-65536'];

/** Bursts in a write are shown for two sizes only: a sample takes seconds in an emulated guest. */
const left = new Set(
  sizes.filter((bytes) => ![64, 1024].includes(bytes)).map((bytes) => `throughput-${bytes}-burst`),
);

/** The benchmarks between two VMs. `where` stands in every metric: a figure means nothing without the accelerator. */
export function vmItems(where: string): Item[] {
  const between = `, between two VMs (${where})`;
  const streams = streamItems(both('ours', 'net'), between).filter(({ id }) => !left.has(id));
  const target = (ratio: number) => ({ target: { baselineName, ratio } });
  const load = { unit: '1/s', better: 'higher', ...target(2) } as const;
  const asked: Item['command'] = (_, { ms, warmUpMs }) => ({ op: 'load', ms, warmUpMs });
  return [
    ...streams.map((item) => ({ ...item, ...target(goalOf(item)) })),
    { ...httpItem(both('http-ours', 'http-net'), between), ...target(2) },
    {
      ...{
        id: 'redis',
        metric: `SET and GET of 256 bytes, 16 under way, redis-server and ioredis, over the TUN interface${between}`,
      },
      ...{ ...load, ways: both('redis-tun', 'redis-net'), command: asked },
    },
    {
      ...{
        id: 'tun-iperf3',
        metric: `iperf3, one stream, over the TUN interface${between}`,
        unit: 'B/s',
        better: 'higher',
      },
      ...{ ...target(1), ways: both('iperf-tun', 'iperf-net'), command: asked },
    },
    ...streams
      .filter(({ id }) => tunSizes.includes(id))
      .map((item) => ({
        ...item,
        ...target(1),
        id: `tun-${item.id}`,
        metric: item.metric.replace(between, `, node:net over the TUN interface${between}`),
        ways: both('tun', 'net'),
      })),
    { ...connectItem, metric: `${connectItem.metric}${between}`, ways: both('ours', 'net'), ...target(1.5) },
    { ...stallItem, metric: `${stallItem.metric}${between}` },
  ];
}

/** Round trips 10 times faster; 5 times the throughput up to 64 KiB, and never less. */
function goalOf({ id, better }: Item): number {
  if (better === 'lower') return 1 / 10;
  return id === 'throughput-1048576' ? 1 : 5;
}
