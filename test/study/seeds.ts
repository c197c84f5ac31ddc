/** Verdicts on the papers' claims come from the samples, and change with them. */
import t from 'tap';
import { cellsOf } from '../../src/study/cells.ts';
import { criteria } from '../../src/study/claims.ts';
import { seedRows } from '../../src/study/seeds.ts';
import { type MadeUp, madeUpStudy, planOf, samplesOf } from './support/sample-study.ts';

const rowsOf = (figures: readonly MadeUp[], rounds = 5) =>
  seedRows(cellsOf({ plan: planOf(figures, rounds), samples: samplesOf(figures, rounds, 1) }));

t.test('every claim but that of many hosts is answered by a whole study', (t) => {
  const rows = rowsOf(madeUpStudy());
  t.equal(rows.length, criteria.length);
  t.strictSame(
    [...new Set(rows.map(({ seed }) => seed))],
    ['ZIVM', 'IVCOM', 'Naplus', 'Residency measurement', 'CoKeeper'],
  );
  for (const { seed, text, verdict, reading } of rows) {
    if (seed === 'Naplus') continue;
    t.not(verdict, 'not measured', text);
    t.equal(reading!.factor.n, 5);
  }
  t.end();
});

/** Two VMs whose round trips over sockets are `factors` times shorter than over virtio-net, by size. */
function roundTrips(factors: readonly number[], spread = 0.02): MadeUp[] {
  return factors.flatMap((factor, index): MadeUp[] =>
    [
      ['shared-memory', 1e6],
      ['virtio-net', 1e6 * factor],
    ].map(([path, median]) => ({
      ...{ experiment: 'size', where: 'vm', point: { bytes: 64 * 4 ** index }, path: String(path) },
      ...{ metric: 'round-trip', unit: 'ns', better: 'lower', median: Number(median), spread },
    })),
  );
}

const verdictOf = (figures: readonly MadeUp[], text: RegExp, rounds = 5) =>
  rowsOf(figures, rounds).find((row) => text.test(row.text))!;

t.test('"up to" takes the best point, "at every size" the worst', (t) => {
  const upTo = verdictOf(roundTrips([2, 5, 2]), /^round trips between VMs up to 3/);
  t.match(upTo, { verdict: 'beaten', points: 3, reading: { at: /256 B/ } });
  const every = verdictOf(roundTrips([20, 8, 30]), /^round trips 10 times shorter at every size/);
  t.match(every, { verdict: 'not met', reading: { at: /256 B/ } });
  t.match(verdictOf(roundTrips([20, 11, 30]), /^round trips 10 times/), { verdict: 'beaten' });
  t.end();
});

t.test('met is not beaten: the interval decides', (t) => {
  const wide = verdictOf(roundTrips([10.3], 0.3), /^round trips 10 times/);
  t.ok(wide.reading!.factor.low < 10 && wide.reading!.factor.value >= 10, 'as the samples are');
  t.equal(wide.verdict, 'met');
  t.end();
});

t.test('no verdict without samples, or with two rounds', (t) => {
  t.match(verdictOf([], /^round trips between VMs/), { verdict: 'not measured', reading: null, points: 0 });
  const two = verdictOf(roundTrips([5]), /^round trips between VMs/, 2);
  t.match(two, { verdict: 'not measured', why: /2 rounds are too few/, reading: { factor: { n: 2 } } });
  const failed = roundTrips([5]).map((figure): MadeUp => ({ ...figure, failed: 'no guest' }));
  t.match(verdictOf(failed, /^round trips between VMs/), { verdict: 'not measured' });
  t.end();
});

t.test('a path is taken in the manner that does best, ours and theirs', (t) => {
  const corked: MadeUp = {
    ...{ experiment: 'size', where: 'vm', point: { bytes: 64 }, path: 'virtio-net-corked' },
    ...{ metric: 'round-trip', unit: 'ns', better: 'lower', median: 1.5e6, spread: 0.02 },
  };
  const row = verdictOf([...roundTrips([5]), corked], /^round trips between VMs/);
  t.equal(row.verdict, 'not met', 'their best is 1.5 times ours');
  t.end();
});
