import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { surroundingsOf } from '../../src/study/disturbance.ts';
import { NativeEnds } from '../../src/study/end/native-ends.ts';
import { channel, sharedMemory, unix } from '../../src/study/end/paths.ts';
import { mixJobs } from '../../src/study/experiments/mix.ts';
import { response, roundTrip, throughput } from '../../src/study/experiments/sizes.ts';
import { decodeTimes } from '../../src/study/histogram.ts';
import { describeMachine } from '../../src/study/machine.ts';
import { readStudy } from '../../src/study/read.ts';
import { files, type Sample } from '../../src/study/results.ts';
import { makeStudy } from '../../src/study/run-study.ts';
import { suiteOf } from '../../src/study/suite.ts';

const program = fileURLToPath(new URL('../../bench/study/programs/study-end.ts', import.meta.url));

t.test('a study of a few points between processes of this host', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'study-run-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const pace = { ms: 20, warmUpMs: 20, leastBytes: 1 << 16 };
  const cpus = [0, Math.min(1, availableParallelism() - 1)] as const;
  const jobs = [
    roundTrip('size', 'native', channel, 64),
    response('size', 'native', unix, 64, 500),
    response('size', 'native', channel, 64, 500),
    throughput('native', sharedMemory, 4096, true),
    ...mixJobs('native', [50], 256).filter(({ planned }) => planned.path === 'shared-memory'),
  ];
  const suite = suiteOf(jobs, () => NativeEnds.open({ program: ['--import', 'tsx', program], cpus, pace }));
  const outcome = await makeStudy({
    ...{ folder, machine: describeMachine({ name: 'test' }), rounds: 1, quick: true, seed: 3, cpus, pace },
    ...{ maxOthers: 0.1, phases: [[suite]], surroundings: surroundingsOf(), say: (line) => t.comment(line) },
  });
  t.same(outcome, { taken: 5, failed: 0, left: 0 });
  const { samples } = readStudy(folder);
  t.same(
    samples.filter(({ value }) => value === null),
    [],
  );
  const of = (what: Partial<Sample>): Sample => {
    const found = samples.filter((sample) =>
      Object.entries(what).every(([name, value]) => sample[name as keyof Sample] === value),
    );
    if (found.length !== 1) t.fail(`${found.length} samples of ${JSON.stringify(what)}`);
    return found[0]!;
  };
  for (const path of ['unix', 'channel']) {
    // Ten are due in 20 ms, and all of them count.
    const { histogram } = of({ path, metric: 'response' });
    t.equal(decodeTimes(histogram!).totalCount, 10, `every answer over ${path}`);
  }
  t.ok(decodeTimes(of({ path: 'channel', metric: 'round-trip' }).histogram!).totalCount >= 20);
  t.ok(of({ experiment: 'cost', metric: 'cpu' }).value! > 0, 'what moving bytes costs');
  const parts = samples.filter(({ experiment, metric }) => experiment === 'mix' && metric === 'round-trip');
  t.same(parts.map(({ point }) => point.part).sort(), ['local', 'remote']);
  const counts = parts.map(({ histogram }) => decodeTimes(histogram!).totalCount);
  t.ok(Math.abs(counts[0]! - counts[1]!) <= 1, 'half of them each');
  t.ok(statSync(join(folder, files.report)).size > 1000, 'there is a report');
});
