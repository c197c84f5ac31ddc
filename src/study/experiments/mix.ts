import type { Ends } from '../end/ends.ts';
import { type Path, sharedMemory, tcp } from '../end/paths.ts';
import type { Planned } from '../results.ts';
import type { Beside, Job } from '../suite.ts';

/**
 * Shares of local and remote traffic of one program. Local is a peer in the region: over shared memory, or, in the baseline, over
 * TCP as well. Remote is a peer that is in no region, over TCP: on one host its path is the loopback interface, which flatters it.
 */
export function mixJobs(where: Planned['where'], shares: readonly number[], bytes: number): Job<Ends>[] {
  return [sharedMemory, tcp].flatMap((path) => shares.map((remote) => mixJob(where, path, remote, bytes)));
}

function mixJob(where: Planned['where'], path: Path, remote: number, bytes: number): Job<Ends> {
  const rate = { metric: 'rate', unit: 'op/s', better: 'higher' } as const;
  const times = { metric: 'round-trip', unit: 'ns', better: 'lower' } as const;
  return {
    planned: { experiment: 'mix', where, point: { remote, bytes }, path: path.name, ...rate },
    take: async (ends) => {
      const { value, parts = {} } = await ends.take(path, { what: 'rtt', bytes, remote });
      const beside = Object.entries(parts).map(
        ([part, own]): Beside => ({ ...times, ...own, point: { remote, bytes, part } }),
      );
      return { value, beside };
    },
  };
}
