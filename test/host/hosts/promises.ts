import t from 'tap';
import type { View } from '../../../src/host/hosts/directory.ts';
import { Promises, parsePromise } from '../../../src/host/hosts/promises.ts';

const LEASE = 1000;
const view = (epoch: number, ...seats: readonly [number, number][]): View => ({
  epoch,
  seats: seats.map(([node, incarnation]) => ({ node, incarnation })),
});

t.test('a lease is what all others of the view promise', async (t) => {
  const three = view(4, [0, 1], [1, 1], [2, 5]);
  const promises = new Promises(0, LEASE);
  t.equal(promises.until(three, 50), Number.NEGATIVE_INFINITY);
  promises.received(1, 4, 100);
  t.equal(promises.until(three, 150), Number.NEGATIVE_INFINITY, 'one is not all');
  promises.received(2, 4, 90);
  t.equal(promises.until(three, 150), 90 + LEASE, 'from when the oldest of them was asked for');
  promises.received(1, 4, 95);
  promises.received(2, 4, 200);
  t.equal(promises.until(three, 250), 100 + LEASE);
  t.equal(promises.until(view(5, [0, 1], [1, 1]), 250), Number.NEGATIVE_INFINITY, 'of that view');
  t.equal(promises.until(view(5, [0, 1]), 250), 250 + LEASE, 'nobody else is needed');
  promises.forget();
  t.equal(promises.until(three, 250), Number.NEGATIVE_INFINITY);
});

t.test('what was promised is kept, for longer than the other counts', async (t) => {
  const two = view(4, [0, 1], [1, 3]);
  const promises = new Promises(0, LEASE);
  t.equal(promises.give(two, 3, { node: 1, incarnation: 3 }, 0), false, 'an older view');
  t.equal(promises.give(two, 4, { node: 1, incarnation: 2 }, 0), false, 'an earlier life');
  t.equal(promises.give(two, 4, { node: 2, incarnation: 1 }, 0), false, 'somebody else');
  t.equal(promises.holds(view(5, [0, 1]), 0), 0);
  t.equal(promises.give(two, 4, { node: 1, incarnation: 3 }, 0), true);
  t.ok(promises.holds(view(5, [0, 1]), LEASE) > LEASE);
  t.ok(promises.holds(view(5, [0, 1], [1, 4]), LEASE) > LEASE, 'another life is somebody else');
  t.equal(promises.holds(view(5, [0, 1], [1, 3], [2, 1]), LEASE), 0);
  promises.release({ node: 1, incarnation: 2 });
  t.ok(promises.holds(view(5, [0, 1]), LEASE) > LEASE);
  promises.release({ node: 1, incarnation: 3 });
  t.equal(promises.holds(view(5, [0, 1]), LEASE), 0);
  promises.give(two, 4, { node: 1, incarnation: 3 }, 0);
  t.equal(promises.holds(view(5, [0, 1]), LEASE * 1.1), 0, 'until it ends');
});

t.test('what makes no sense is none', async (t) => {
  for (const text of ['', '{', '{}', '{"kind":"ask"}', '{"kind":"release","incarnation":0}', 'null'])
    t.equal(parsePromise(text), null);
  t.same(parsePromise('{"kind":"release","incarnation":2}'), { kind: 'release', incarnation: 2 });
});
