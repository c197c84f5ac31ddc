import type { Planned } from '../results.ts';
import type { Beside } from '../suite.ts';
import type { Usage } from '../usage.ts';

const GIB = 2 ** 30;
const MILLION = 1e6;

/** What both sides used, by the amount they moved: the experiment `cost`, of every sample of throughput. Busy waiting is use. */
export function besides(
  { point, path }: Pick<Planned, 'point' | 'path'>,
  { cpuNs, switches }: Usage,
  messages: number,
  bytes: number,
): Beside[] {
  const own = { experiment: 'cost', point, path, better: 'lower' } as const;
  const gib = (messages * bytes) / GIB;
  const millions = messages / MILLION;
  return [
    { ...own, metric: 'cpu', unit: 's/GiB', value: cpuNs / 1e9 / gib },
    { ...own, metric: 'context-switches', unit: '1/GiB', value: switches / gib },
    { ...own, metric: 'cpu-per-message', unit: 's/million', value: cpuNs / 1e9 / millions },
    { ...own, metric: 'context-switches-per-message', unit: '1/million', value: switches / millions },
  ];
}
