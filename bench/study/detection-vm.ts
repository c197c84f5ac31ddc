import { Times } from '../../src/study/histogram.ts';
import { randomSource } from '../../src/study/random.ts';
import type { Planned } from '../../src/study/results.ts';
import type { Beside, Job, Result, Tools } from '../../src/study/suite.ts';
import { type VmChange, vmRound } from '../membership/detect-vm.ts';
import { kinds } from '../membership/sightings.ts';
import { type Vms, vmCount } from '../membership/vms.ts';

const time = { metric: 'time', unit: 'ns', better: 'lower' } as const;

/** Members in three VMs that hear of processes of the host that join, leave and are killed. The members beside them are two of the host. */
export function vmDetectionJob(seed: number): Job<{ readonly vms: Vms; readonly round: number } & Tools> {
  const planned: Planned = {
    ...{ experiment: 'detection', where: 'vm', path: 'event', ...time },
    point: { members: vmCount, change: 'join' },
  };
  return {
    planned,
    take: async ({ vms, round }) => {
      const { changes, wrong } = await vmRound(vms, round, randomSource(seed + round));
      if (wrong.length > 0) throw new Error(wrong.slice(0, 3).join('; '));
      return vmResult(changes);
    },
  };
}

/** The figures of one round. @throws Error when nobody joined. */
export function vmResult(changes: readonly VmChange[]): Result {
  const figures = kinds.flatMap((kind): Beside[] => {
    const own = changes.filter((change) => change.kind === kind && !change.cold);
    const polls = [...new Set(own.flatMap(({ polled }) => Object.keys(polled)))];
    const paths = [
      ['event', own.flatMap(({ ms }) => ms)] as const,
      ...polls.map((name) => [name, own.flatMap(({ polled }) => polled[name] ?? [])] as const),
    ];
    return paths.flatMap(([path, ms]): Beside[] => {
      const times = new Times();
      for (const one of ms) times.add(one * 1e6);
      if (times.count === 0) return [];
      const value = times.quantile(0.5);
      return [{ ...time, value, histogram: times.encode(), path, point: { members: vmCount, change: kind } }];
    });
  });
  const [own] = figures.filter(({ path, point }) => path === 'event' && point?.change === 'join');
  if (own === undefined || own.value === null) throw new Error('nobody joined');
  const { value, histogram } = own;
  return {
    ...{ value, beside: figures.filter((one) => one !== own) },
    ...(histogram === undefined ? {} : { histogram }),
  };
}
