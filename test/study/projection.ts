/** Laws found from some points and checked against others; what they come to beyond what was measured. */
import t from 'tap';
import { cellsOf } from '../../src/study/cells.ts';
import { fit } from '../../src/study/projection/fit.ts';
import { projectionOf } from '../../src/study/projection/index.ts';
import { simulateQueue } from '../../src/study/projection/queue.ts';
import { madeUpStudy, planOf, samplesOf } from './support/sample-study.ts';

const near = (value: number, expected: number, share: number): boolean =>
  Math.abs(value / expected - 1) <= share;

t.test('a law is found from its points, and its error from others', (t) => {
  const line = [1, 2, 10, 100, 1000].map((x) => ({ x, y: 50 + 3 * x }));
  const law = fit(line, 'linear')!;
  t.ok(near(law.fixed, 50, 1e-6) && near(law.each, 3, 1e-6) && near(law.at(10_000), 30_050, 1e-6));
  t.strictSame(
    [law.calibrated, law.heldOut].map((points) => points.map(({ x }) => x)),
    [
      [1, 10, 1000],
      [2, 100],
    ],
  );
  t.ok(law.worstError! < 1e-6);
  const bent = fit(
    line.map(({ x, y }) => ({ x, y: x === 100 ? 2 * y : y })),
    'linear',
  )!;
  t.ok(near(bent.worstError!, 0.5, 1e-6), 'a point off by a factor of two is 50 % off what is predicted');
  t.ok(near(bent.at(100), 350, 1e-6), 'and does not bend the law that it checks');
  t.end();
});

t.test('few points and shrinking costs', (t) => {
  t.equal(fit([{ x: 1, y: 1 }], 'linear'), null);
  t.equal(fit([], 'linear'), null);
  t.equal(
    fit(
      [
        { x: 0, y: 1 },
        { x: 8, y: 0 },
      ],
      'logarithmic',
    ),
    null,
    'nothing of zero',
  );
  const two = fit(
    [
      { x: 1, y: 10 },
      { x: 4, y: 30 },
    ],
    'logarithmic',
  )!;
  t.equal(two.worstError, null, 'two points check nothing');
  t.ok(near(two.at(16), 50, 1e-9));
  const falling = fit(
    [
      { x: 1, y: 10 },
      { x: 100, y: 5 },
    ],
    'linear',
  )!;
  t.equal(falling.each, 0, 'more members do not make it cheaper');
  t.end();
});

t.test('the simulated server agrees with the theory of M/D/1 queues', (t) => {
  // At load 0.5, with Erlang's series for the wait: none with probability 0.5, 99 % within 3.336 services.
  const service = 1e6;
  const half = simulateQueue(500, service);
  t.equal(half.load, 0.5);
  t.ok(near(half.median, service, 0.08), `${half.median}`);
  t.ok(near(half.p99, 4.336 * service, 0.08), `${half.p99}`);
  const idle = simulateQueue(0.001, service);
  t.ok(idle.median === service && idle.p99 === service, 'nobody waits for nobody');
  t.equal(simulateQueue(1001, service).median, Number.POSITIVE_INFINITY, 'falls behind');
  t.end();
});

t.test('of a study: constants, errors of points held out, 10,000 members', (t) => {
  const figures = madeUpStudy();
  const { findings, churn, spread } = projectionOf(
    cellsOf({ plan: planOf(figures, 5), samples: samplesOf(figures, 5, 1) }),
  );
  const found = (name: string) => findings.find((finding) => finding.name.startsWith(name))!;
  const server = found('Server');
  t.ok(near(server.law.fixed, 200, 0.1) && near(server.law.each, 5, 0.1), 'as it was made up');
  t.equal(server.until, 10_000);
  t.ok(server.law.worstError! < 0.05);
  const mix = found('Mean time of a message, shared-memory');
  t.equal(mix.law.heldOut.length, 3);
  t.ok(mix.law.worstError! < 0.06);
  t.ok(found('Round trip over channels').law.worstError! < 0.05);
  t.equal(churn.filter(({ members }) => members === 10_000).length, 3);
  t.ok(churn.some(({ load, median }) => load > 1 && median === Number.POSITIVE_INFINITY));
  t.ok(near(spread.find(({ hosts }) => hosts === 1)!.gain, 70_512 / 3128, 0.1), 'one host gains all of it');
  t.ok(spread.every(({ gain }) => gain >= 1));
  const nothing = projectionOf([]);
  t.strictSame([nothing.findings, nothing.churn, nothing.spread], [[], [], []]);
  t.end();
});
