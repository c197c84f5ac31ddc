import t from 'tap';
import { Turnstile } from '../../src/net/turnstile.ts';
import { until } from '../support/protocol/until.ts';

t.test('so many at a time, in order', async (t) => {
  const went: number[] = [];
  const turnstile = new Turnstile<number>(2, 60_000, (one) => went.push(one));
  t.strictSame(
    [1, 2, 3, 4, 5].map((one) => turnstile.enter(one)),
    [true, true, false, false, false],
  );
  t.ok(turnstile.enter(1), 'it has its turn already');
  turnstile.done(4);
  turnstile.done(1);
  turnstile.done(1);
  t.strictSame(went, [3], 'one place, one more');
  turnstile.done(2);
  t.strictSame(went, [3, 5], 'who wants no turn any more has none');
  turnstile.done(3);
  turnstile.done(5);
  t.ok(turnstile.enter(6) && turnstile.enter(7) && !turnstile.enter(8));
});

t.test('a turn that never ends keeps the others for a while only', async (t) => {
  const went: number[] = [];
  const turnstile = new Turnstile<number>(1, 10, (one) => went.push(one));
  turnstile.enter(1);
  turnstile.enter(2);
  turnstile.enter(3);
  t.strictSame(went, []);
  // A timer of the turnstile does not keep a process alive.
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  await until('the second', () => went.includes(2));
  await until('the third', () => went.includes(3));
  turnstile.done(1);
  t.strictSame(went, [2, 3]);
});
