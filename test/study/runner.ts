import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { isIvshmemError } from '../../src/errors/index.ts';
import { beginStudy } from '../../src/study/folder.ts';
import { describeMachine } from '../../src/study/machine.ts';
import { readStudy } from '../../src/study/read.ts';
import { files } from '../../src/study/results.ts';
import { type Outcome, runStudy } from '../../src/study/runner.ts';
import { SampleLog } from '../../src/study/sample-log.ts';
import { duration } from '../../src/study/time-left.ts';
import { FakeMachine, FakeSuite, planOf } from './support/fake-suite.ts';

const machineText = describeMachine({ name: 'fake' });

class Scene {
  readonly folder = mkdtempSync(join(tmpdir(), 'study-runner-'));
  readonly machine = new FakeMachine();
  readonly said: string[] = [];

  async run(
    suites: readonly FakeSuite[],
    more: { rounds?: number; budgetMs?: number } = {},
  ): Promise<Outcome> {
    const { rounds = 3, ...limits } = more;
    const phases = [suites.map(({ suite }) => suite)];
    const wanted = planOf(
      suites.flatMap(({ suite }) => suite.planned),
      rounds,
    );
    const plan = beginStudy(this.folder, wanted, machineText);
    using log = new SampleLog(this.folder);
    return await runStudy({
      ...{ plan, phases, log, surroundings: this.machine, say: (line) => void this.said.push(line) },
      ...limits,
    });
  }

  get file(): string {
    return join(this.folder, files.samples);
  }
}

function scene(t: { teardown(work: () => void): unknown }): Scene {
  const made = new Scene();
  t.teardown(() => rmSync(made.folder, { recursive: true }));
  return made;
}

t.test(
  'every contestant is measured once a round, interleaved, in an order that the seed makes',
  async (t) => {
    const [one, two] = [scene(t), scene(t)];
    const orders: string[][] = [];
    for (const each of [one, two]) {
      const [a, b] = [
        new FakeSuite(each.machine, ['a', 'b', 'c']),
        new FakeSuite(each.machine, ['d'], 'other'),
      ];
      const outcome = await each.run([a, b]);
      t.match(outcome, { taken: 12, failed: 0, left: 0 });
      t.same(a.opened, [1, 2, 3]);
      t.same(a.closed, [1, 2, 3]);
      t.equal(a.ended, 1);
      for (const round of [1, 2, 3]) {
        const paths = a.deeds.filter((deed) => deed.round === round).map(({ path }) => path);
        t.same([...paths].sort(), ['a', 'b', 'c']);
      }
      orders.push(readStudy(each.folder).samples.map(({ path, round }) => `${round} ${path}`));
    }
    t.same(orders[0], orders[1]);
    const rounds = [1, 2, 3].map((round) => orders[0]!.filter((one) => one.startsWith(`${round} `)).join());
    t.not(
      rounds[0]!.replaceAll('1 ', ''),
      rounds[1]!.replaceAll('2 ', ''),
      'not the same order in each round',
    );
  },
);

t.test('a study that was interrupted in the middle of a line goes on where it was', async (t) => {
  const each = scene(t);
  const first = new FakeSuite(each.machine, ['a', 'b']);
  t.match(await each.run([first], { budgetMs: 2500 }), { taken: 3, left: 3 });
  const before = readFileSync(each.file, 'utf8');
  // As a crash leaves it: the third sample is only half there, and nothing of what was beside it.
  const lines = before.trimEnd().split('\n');
  t.equal(lines.length, 6);
  writeFileSync(each.file, `${lines.slice(0, 4).join('\n')}\n${lines[4]!.slice(0, 30)}`);
  t.match(readStudy(each.folder), { samples: { length: 4 }, notes: [/torn/] });
  const again = new FakeSuite(each.machine, ['a', 'b']);
  t.match(await each.run([again]), { taken: 4, left: 0 });
  const { samples, notes } = readStudy(each.folder);
  t.same(notes, []);
  const own = samples
    .filter(({ experiment }) => experiment === 'size')
    .map(({ path, round }) => `${path}${round}`);
  t.same(own.sort(), ['a1', 'a2', 'a3', 'b1', 'b2', 'b3']);
  t.equal(samples.length, 12, 'with what was beside each');
  const third = new FakeSuite(each.machine, ['a', 'b']);
  t.match(await each.run([third]), { taken: 0, left: 0 });
  t.same(third.opened, [], 'nothing is started for nothing');
});

t.test('what fails says why, and is tried again by the next run only', async (t) => {
  const each = scene(t);
  const first = new FakeSuite(each.machine, ['a', 'b']);
  first.before = ({ path, round }) => {
    if (path === 'a' && round === 2) throw new Error('it broke');
  };
  t.match(await each.run([first]), { taken: 6, failed: 1, left: 0 });
  const failed = readStudy(each.folder).samples.filter((one) => one.failed !== undefined);
  t.match(failed, [{ path: 'a', round: 2, value: null, failed: 'it broke' }]);
  const again = new FakeSuite(each.machine, ['a', 'b']);
  t.match(await each.run([again]), { taken: 1, failed: 0 });
  t.same(again.deeds, [{ path: 'a', round: 2 }]);
  t.notOk(
    readStudy(each.folder).samples.some((one) => one.failed !== undefined),
    'and counts no more',
  );
});

t.test('a sample beside which others were busy is kept, and called noisy', async (t) => {
  const each = scene(t);
  const suite = new FakeSuite(each.machine, ['a']);
  suite.before = ({ round }) => {
    each.machine.others = round === 2 ? 0.4 : 0.05;
  };
  await each.run([suite]);
  const own = readStudy(each.folder).samples.filter(({ experiment }) => experiment === 'size');
  t.match(own[1], { value: 2, noisy: 'others used 0.40 of a processor', lineNs: 100 });
  t.notOk(own[0]!.noisy);
});

t.test('another plan does not go on in the same folder; a line that is no sample is named', async (t) => {
  const each = scene(t);
  await each.run([new FakeSuite(each.machine, ['a'])]);
  const isOther = (error: unknown) => isIvshmemError(error, 'ERR_IVSHMEM_STUDY_OTHER_PLAN');
  await each.run([new FakeSuite(each.machine, ['a', 'b'])]).then(t.fail, (error) => t.ok(isOther(error)));
  await each
    .run([new FakeSuite(each.machine, ['a'])], { rounds: 4 })
    .then(t.fail, (error) => t.ok(isOther(error)));
  appendFileSync(each.file, '{"experiment":"size"}\n');
  t.throws(() => readStudy(each.folder), {
    code: 'ERR_IVSHMEM_STUDY_FILE',
    message: /samples\.jsonl, line 7: where/,
  });
  t.throws(() => readStudy(join(each.folder, 'nothing')), { code: 'ERR_IVSHMEM_STUDY_FOLDER' });
});

t.test('how long the rest takes is said in words', async (t) => {
  t.same([900, 99_000, 100_000, 5_940_000, 7_260_000].map(duration), [
    '1 s',
    '99 s',
    '2 min',
    '99 min',
    '2 h 1 min',
  ]);
  const each = scene(t);
  await each.run([new FakeSuite(each.machine, ['a', 'b'])]);
  t.match(each.said.at(-6), /^\[1\/6, 5 s left\] size native . throughput bytes=64, round 1: 1\.000 B\/s$/);
});
