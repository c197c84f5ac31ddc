import type { Ends } from '../end/ends.ts';
import type { Path } from '../end/paths.ts';
import type { Planned } from '../results.ts';
import type { Job } from '../suite.ts';

/** A file that is read on one side, sent over a socket by `pipeline`, and written on the other. Its content is checked after it was timed. */
export function fileJobs(where: Planned['where'], paths: readonly Path[], bytes: number): Job<Ends>[] {
  return paths.map((path) => ({
    planned: {
      ...{ experiment: 'applications', where, point: { app: 'file', bytes }, path: path.name },
      ...{ metric: 'throughput', unit: 'B/s', better: 'higher' },
    },
    take: async (ends) => ({ value: (await ends.take(path, { what: 'file', bytes })).value }),
  }));
}
