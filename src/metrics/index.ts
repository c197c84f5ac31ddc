import { Counter, Gauge, Registry } from 'prom-client';
import type { Region } from '../channel/index.ts';
import { isIvshmemError } from '../errors/index.ts';
import type { Statistics } from '../membership/index.ts';
import { STATISTICS } from '../memory/layout.ts';
import { MEMBER_CHANNELS, MEMBER_COUNTERS, MEMBER_SOCKETS, socketsOf } from './definitions.ts';

export { socketsOf } from './definitions.ts';

const LABELS = ['region', 'member'] as const;

/** Whose metrics a registry has. */
const regions = new WeakMap<Registry, Set<Region>>();

/**
 * Adds what this member counts to a registry of prom-client, a fresh one unless given, and returns it: serve
 * `await registry.metrics()` as `registry.contentType`. Values are read when somebody asks; nothing runs in between. A region that
 * was closed disappears. Several regions may share a registry.
 */
export function metrics(region: Region, registry: Registry = new Registry()): Registry {
  const known = regions.get(registry);
  if (known !== undefined) known.add(region);
  else {
    const all = new Set([region]);
    regions.set(registry, all);
    define(registry, all);
  }
  return registry;
}

function define(registry: Registry, all: Set<Region>): void {
  const common = { labelNames: LABELS, registers: [registry] };
  /** Of each region that is still open. */
  const each = (
    add: (labels: Record<(typeof LABELS)[number], string>, statistics: Statistics) => void,
  ): void => {
    for (const region of all) {
      const statistics = statisticsOf(region);
      if (statistics === null) all.delete(region);
      else add({ region: region.header.name, member: region.name }, statistics);
    }
  };
  for (const statistic of STATISTICS) {
    const counter = new Counter({
      ...MEMBER_COUNTERS[statistic],
      ...common,
      collect: () => {
        counter.reset();
        each((labels, statistics) => counter.inc(labels, statistics[statistic]));
      },
    });
  }
  const sockets = new Gauge({
    ...MEMBER_SOCKETS,
    labelNames: [...LABELS, 'path'],
    registers: [registry],
    collect: () => {
      sockets.reset();
      each((labels, statistics) => {
        const { sharedMemory, tcp } = socketsOf(statistics);
        sockets.set({ ...labels, path: 'shared-memory' }, sharedMemory);
        sockets.set({ ...labels, path: 'tcp' }, tcp);
      });
    },
  });
  const channels = new Gauge({
    ...MEMBER_CHANNELS,
    ...common,
    collect: () => {
      channels.reset();
      each((labels, { channelsOpened, channelsEnded }) =>
        channels.set(labels, channelsOpened - channelsEnded),
      );
    },
  });
}

function statisticsOf(region: Region): Statistics | null {
  try {
    return region.statistics();
  } catch (error) {
    if (isIvshmemError(error, 'ERR_IVSHMEM_CLOSED')) return null;
    throw error;
  }
}
