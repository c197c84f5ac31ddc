/** What the study says of numbers, against numbers worked out by hand or printed in tables. */
import t from 'tap';
import { randomSource } from '../../src/study/random.ts';
import { adjusted, compare, estimate, median, pairedRatio } from '../../src/study/statistics.ts';

const near = (value: number, expected: number, tolerance = 1e-9): boolean =>
  Math.abs(value - expected) <= tolerance;

t.test('median', (t) => {
  t.equal(median([3, 1, 2]), 2);
  t.equal(median([4, 1, 2, 3]), 2.5);
  t.end();
});

t.test('an interval says how much few samples can promise', (t) => {
  t.strictSame(estimate([7]), { value: 7, low: 7, high: 7, level: 0, n: 1 });
  t.strictSame(estimate([5, 1, 3]), { value: 3, low: 1, high: 5, level: 0.75, n: 3 });
  t.equal(estimate([1, 2, 3, 4, 5]).level, 0.9375);
  t.end();
});

t.test('resampled intervals hold the median they should, as often as they say', (t) => {
  const random = randomSource(7);
  // Sums of exponentials: skewed, as times are. The median of the sum of two with mean 1 is 1.67835.
  const draw = (): number => -Math.log((1 - random()) * (1 - random()));
  let held = 0;
  const studies = 300;
  for (let study = 0; study < studies; study++) {
    const { low, high, value, level } = estimate(Array.from({ length: 15 }, draw), study);
    t.ok(low <= value && value <= high && level === 0.95);
    if (low <= 1.67835 && 1.67835 <= high) held++;
  }
  t.ok(held / studies > 0.9 && held / studies <= 1, `${held} of ${studies}`);
  t.strictSame(estimate([1, 2, 3, 4, 5, 6, 7], 3), estimate([1, 2, 3, 4, 5, 6, 7], 3), 'the same every time');
  t.end();
});

t.test('ratios are made round by round', (t) => {
  const rounds = (...values: number[]) => values.map((value, index) => ({ round: index + 1, value }));
  // The machine gets three times slower in the course of the study; the ratio does not.
  const ratio = pairedRatio(rounds(10, 20, 30), rounds(100, 200, 300))!;
  t.ok(near(ratio.value, 0.1) && near(ratio.low, 0.1) && near(ratio.high, 0.1));
  t.equal(ratio.n, 3);
  t.equal(pairedRatio([{ round: 1, value: 1 }], [{ round: 2, value: 1 }]), null, 'no round has both');
  t.equal(pairedRatio([{ round: 1, value: 1 }], [{ round: 1, value: 0 }]), null, 'nothing to divide by');
  t.end();
});

t.test('Mann-Whitney, exactly', (t) => {
  // All of b above all of a: 2 of the C(10, 5) = 252 ways.
  const apart = compare([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]);
  t.ok(near(apart.p, 2 / 252));
  t.ok(near(apart.least, 2 / 252));
  t.equal(apart.superiority, 1);
  // U = 2 of 3 x 3, which the tables give two-sided p = 0.4.
  t.ok(near(compare([1, 2, 4], [3, 5, 6]).p, 0.2), 'U = 1');
  t.ok(near(compare([1, 3, 4], [2, 5, 6]).p, 0.4), 'U = 2');
  const same = compare([5, 5, 5], [5, 5, 5]);
  t.equal(same.p, 1, 'nothing but ties');
  t.equal(same.superiority, 0.5);
  t.end();
});

t.test('many samples are compared by the normal distribution, and agree with counting', (t) => {
  const random = randomSource(11);
  const list = (length: number, add: number): number[] => Array.from({ length }, () => 1 + random() + add);
  const [a, b] = [list(20, 0), list(20, 0.2)];
  const counted = compare(a, b).p;
  const [more, others] = [
    [...a, 1.5],
    [...b, 1.7],
  ];
  const normal = compare(more, others).p;
  t.ok(Math.abs(counted - normal) < 0.02, `${counted} and ${normal}`);
  t.end();
});

t.test('the ratio of two lists, with the interval that belongs to the test', (t) => {
  const a = [100, 102, 98, 101, 99];
  const { ratio, p } = compare(
    a,
    a.map((value) => value * 1.5),
  );
  t.ok(near(ratio.value, 1.5, 0.01));
  t.ok(ratio.low > 1.4 && ratio.high < 1.6 && p < 0.01);
  t.ok(ratio.level >= 0.95, 'five of each suffice');
  t.ok(near(compare([1, 2, 3], [1, 2, 3]).ratio.level, 0.9), 'three of each promise 90 %');
  t.end();
});

t.test('of what differs by chance, few are called different', (t) => {
  const random = randomSource(3);
  const list = (): number[] => Array.from({ length: 8 }, random);
  const values = Array.from({ length: 200 }, () => compare(list(), list()).p);
  t.ok(values.filter((p) => p < 0.05).length < 25, 'one by one, about 5 %');
  t.equal(adjusted(values).filter((p) => p < 0.05).length, 0, 'together, none');
  t.end();
});

t.test('Benjamini-Hochberg', (t) => {
  // The values of the step-up procedure worked out by hand.
  const result = adjusted([0.01, 0.04, 0.03, 0.005]);
  for (const [index, expected] of [0.02, 0.04, 0.04, 0.02].entries()) t.ok(near(result[index]!, expected));
  t.strictSame(adjusted([]), []);
  t.end();
});
