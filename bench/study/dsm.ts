import path from 'node:path';
import type { Job, Tools } from '../../src/study/suite.ts';
import { dsmBenchmarks } from '../dsm/benchmarks.ts';
import { outFolder } from '../harness/build.ts';
import { oursName } from '../harness/rows.ts';
import { type Flags, programJob } from './own-programs.ts';

/** What a look is content with: the programs take a second each, many times. */
const QUICK = new Set(['access-sequential', 'access-random', 'fault-local', 'lock-uncontended']);

/** Spaces beside private memory, and beside members that exchange messages instead: the rows of `bench dsm`. */
export function dsmJobs(flags: Flags, quick: boolean): Job<Tools>[] {
  return [...pieces(flags, quick), sizeJob(flags)];
}

function pieces(flags: Flags, quick: boolean): Job<Tools>[] {
  return dsmBenchmarks()
    .filter(({ id }) => !quick || QUICK.has(id))
    .flatMap(({ id, unit, better, contestants }) =>
      contestants.map((one) => {
        const name = one.name === oursName ? 'space' : one.name;
        const what = { experiment: 'dsm', point: { task: id }, metric: 'time', unit, better };
        return programJob(what, { ...one, name }, flags);
      }),
    );
}

/** How large a space over two hosts is beside the memory of one of them. */
function sizeJob(flags: Flags): Job<Tools> {
  const program = path.join(outFolder, 'spread-size.mjs');
  const point = { task: 'space-over-two-hosts' };
  return programJob(
    { experiment: 'dsm', point, metric: 'size-over-largest-host', unit: '×', better: 'higher' },
    { name: 'space', command: [process.execPath, program] },
    flags,
  );
}
