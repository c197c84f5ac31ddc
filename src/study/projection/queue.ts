import { randomSource } from '../random.ts';

/** Delays of changes at a server that takes one at a time, nanoseconds. */
export interface Delays {
  readonly median: number;
  readonly p99: number;
  /** Share of the time it works; at 1 and above it falls behind for ever, and there are no delays to say. */
  readonly load: number;
}

const CHANGES = 20_000;
/** The queue begins empty; what comes before it has filled does not count. */
const WARM_UP = 2000;

/**
 * Simulates, change by change, a server to which changes come at random (`perSecond`, independently of each other) and each takes
 * `serviceNs`. The delay of a change is from its cause to the end of its service. Null delays are never said: see `load`.
 */
export function simulateQueue(perSecond: number, serviceNs: number, seed = 1): Delays {
  const load = (perSecond * serviceNs) / 1e9;
  if (load >= 1) return { median: Number.POSITIVE_INFINITY, p99: Number.POSITIVE_INFINITY, load };
  const random = randomSource(seed);
  const delays: number[] = [];
  let [now, free] = [0, 0];
  for (let change = 0; change < CHANGES; change++) {
    now += (-Math.log(1 - random()) / perSecond) * 1e9;
    free = Math.max(free, now) + serviceNs;
    if (change >= WARM_UP) delays.push(free - now);
  }
  delays.sort((a, b) => a - b);
  const at = (share: number): number => delays[Math.floor(share * delays.length)]!;
  return { median: at(0.5), p99: at(0.99), load };
}
