/** Two studies: what changed is said, what did not is noise. */
import t from 'tap';
import { diffOf, diffStudies } from '../../src/study/diff.ts';
import { readStudy } from '../../src/study/read.ts';
import { diffHtml, diffText } from '../../src/study/report/diff-page.ts';
import type { Study } from '../../src/study/results.ts';
import {
  type MadeUp,
  madeUpMachine,
  madeUpStudy,
  planOf,
  samplesOf,
  writeStudy,
} from './support/sample-study.ts';

function study(figures: readonly MadeUp[], rounds: number, seed: number): Study {
  const samples = samplesOf(figures, rounds, seed);
  return { folder: '', machine: madeUpMachine, plan: planOf(figures, rounds), samples, notes: [] };
}

/** Without single measurements, which are of no use here. */
const figures = madeUpStudy().map(({ single, ...figure }): MadeUp => figure);

t.test('the same again is noise', (t) => {
  for (const seed of [2, 3, 4]) {
    const { rows, notes } = diffOf(study(figures, 8, 1), study(figures, 8, seed));
    t.strictSame(
      rows.filter(({ change }) => change !== 'noise').map(({ after }) => after?.key),
      [],
    );
    t.strictSame(notes, []);
  }
  t.end();
});

t.test('what is faster is better, what is slower worse, whichever way a metric goes', (t) => {
  const changed = figures.map((figure): MadeUp => {
    const { experiment, path, metric, median } = figure;
    return experiment === 'size' && path === 'channel'
      ? { ...figure, median: metric === 'throughput' ? median * 2 : median * 1.5 }
      : figure;
  });
  const { rows } = diffOf(study(figures, 8, 1), study(changed, 8, 2));
  const told = rows.filter(({ change }) => change !== 'noise');
  const meant = told.filter(({ after }) => after!.experiment === 'size' && after!.path === 'channel');
  t.equal(meant.length, 20, 'all of them');
  for (const { change, after } of meant)
    t.equal(change, after!.metric === 'throughput' ? 'better' : 'worse', after!.key);
  t.ok(told.length - meant.length <= 2, 'of what is called changed, hardly any by chance');
  const better = rows.find(({ change }) => change === 'better')!;
  t.ok(Math.abs(better.comparison!.ratio.value - 2) < 0.2 && better.comparison!.superiority === 1);
  t.end();
});

t.test('a difference within the noise floor is noise, however sure the test is', (t) => {
  const size: MadeUp = {
    ...{ experiment: 'size', where: 'native', point: { bytes: 64 }, path: 'channel', metric: 'round-trip' },
    ...{ unit: 'ns', better: 'lower', median: 100, spread: 0.01 },
  };
  const again: MadeUp = { ...size, experiment: 'noise', path: 'channel-again', median: 120 };
  const floor: MadeUp[] = [{ ...size, experiment: 'noise' }, again];
  const change = (median: number) =>
    diffOf(study([size, ...floor], 10, 1), study([{ ...size, median }, ...floor], 10, 2)).rows[0]!;
  t.match(change(110), { change: 'noise' });
  t.ok(change(110).p < 0.05);
  t.match(change(150), { change: 'worse' });
  t.end();
});

t.test('few rounds are said to be few', (t) => {
  const slower = figures.map((figure): MadeUp => ({ ...figure, median: figure.median * 2 }));
  const three = diffOf(study(figures, 3, 1), study(slower, 3, 2));
  t.match(three.notes.join(), /nothing can be told from noise/);
  t.ok(three.rows.every(({ change }) => change === 'noise'));
  const five = diffOf(study(figures, 5, 1), study(slower, 5, 2));
  t.match(five.notes.join(), /one change among \d+ points cannot be told/);
  t.end();
});

t.test('folders, other machines, points of one study only', (t) => {
  const before = writeStudy(t, figures, { seed: 1 });
  const fewer = readStudy(before);
  const diff = diffOf(
    { ...fewer, machine: { ...madeUpMachine, kernel: '6.2' } },
    { ...fewer, plan: { ...fewer.plan, points: [] }, samples: fewer.samples.filter((_, i) => i % 2 === 0) },
  );
  t.match(diff.notes.join(), /kernel: 6.2 before, 6.1 after/);
  const none = diffOf(fewer, { ...fewer, plan: { ...fewer.plan, points: [] }, samples: [] });
  t.ok(none.rows.some(({ change }) => change === 'disappeared'));
  const itself = diffStudies(before, before);
  t.match(diffText(itself), /^# .*\n\n0 better, 0 worse, \d+ not told from noise\.\n/);
  const page = diffHtml(itself);
  t.notMatch(page, /<script/, 'nothing of a study is code');
  t.match(page, /&lt;script&gt;/);
  t.end();
});
