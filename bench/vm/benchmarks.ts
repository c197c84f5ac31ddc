import type { Benchmark } from '../harness/types.ts';
import { orders, rowId } from './orders.ts';

/** What the channel is measured against: Node's TCP over virtio-net between the same two guests. */
export const baselineName = 'virtio-net';

/** The benchmarks between two VMs. `where` stands in every metric: a figure means nothing without the accelerator. */
export function vmBenchmarks(where: string): Benchmark[] {
  return orders.map((order) => {
    const { what, bytes } = order;
    const contestants = ['ours', baselineName].map((name) => ({ name, command: [] }));
    if (what === 'rtt') {
      return {
        id: rowId(order),
        metric: `round trip, ${bytes} bytes, between two VMs (${where})`,
        unit: 'ns',
        better: 'lower',
        contestants,
        target: { baselineName, ratio: 1 / 50 },
      };
    }
    return {
      id: rowId(order),
      metric: `${formatSize(bytes)} messages, one way, between two VMs (${where})`,
      unit: 'B/s',
      better: 'higher',
      contestants,
      target: { baselineName, ratio: 10 },
    };
  });
}

function formatSize(bytes: number): string {
  if (bytes >= 1 << 20) return `${bytes / (1 << 20)} MiB`;
  return bytes >= 1024 ? `${bytes / 1024} KiB` : `${bytes}-byte`;
}
