/** Spaces with release consistency: servers and members are processes on two or three hosts, with real certificates. */
import t from 'tap';
import { withoutOpenssl } from '../../host/hosts/support/certificates.ts';
import { until } from '../../support/protocol/until.ts';
import { LocksScene } from '../support/locks-scene.ts';

t.setTimeout(240_000);
const skip = withoutOpenssl() ?? false;
const SIZE = 64 << 10;
const PAGE_WORDS = 1024;

t.test('what is stored on one host, flushed there, and refreshed on another', { skip }, async (t) => {
  const scene = await LocksScene.start(t, 2, 15);
  const [a, b, c] = await Promise.all([0, 1, 1].map((host) => scene.member(host)));
  await scene.openAs('release', 'plain', SIZE, a!, b!, c!);
  const members = [a!, b!];
  // Pages whose home is the one host, and the other.
  for (const page of [2, 3]) {
    const word = page * PAGE_WORDS;
    for (const [n, one] of members.entries()) {
      const other = members[1 - n]!;
      t.equal(await other.do('load', word), n === 0 ? 0 : 1);
      await one.do('store', word, n + 1);
      await one.do('flush');
      await other.do('refresh');
      t.equal(await other.do('load', word), n + 1, `page ${page} from host ${n}`);
    }
  }
  await b!.do('store', 5, 55);
  t.equal(await c!.do('load', 5), 55, 'members of one host need neither');

  // Each stores to every other word of a page that both have, all the while.
  const mine = (n: number, value: number): Promise<unknown> =>
    Promise.all(
      Array.from({ length: 100 }, (_, i) => members[n]!.do('store', 5 * PAGE_WORDS + 2 * i + n, value + i)),
    );
  await Promise.all([mine(0, 1000), mine(1, 2000)]);
  await Promise.all(members.map((one) => one.do('flush')));
  await Promise.all(members.map((one) => one.do('refresh')));
  for (const one of members)
    for (const i of [0, 1, 50, 99])
      t.same(
        [await one.do('load', 5 * PAGE_WORDS + 2 * i), await one.do('load', 5 * PAGE_WORDS + 2 * i + 1)],
        [1000 + i, 2000 + i],
        'what two hosts stored to one page',
      );

  for (const page of [6, 7]) {
    await a!.do('pin', page);
    await a!.do('store', page * PAGE_WORDS, 1);
    await a!.do('flush');
    await b!.do('refresh');
    t.equal(await b!.do('load', page * PAGE_WORDS), 1, 'a page that is pinned is flushed');
    await a!.do('store', page * PAGE_WORDS, 2);
    await a!.do('flush');
    await b!.do('refresh');
    t.equal(await b!.do('load', page * PAGE_WORDS), 2, 'again');
    t.equal(await a!.do('unpin'), true, 'and stays where it is');
  }

  await b!.do('store', 8, 88);
  await b!.do('close');
  await a!.do('refresh');
  t.equal(await a!.do('load', 8), 88, 'what was stored before the space was closed');
});

t.test('what synchronizes says what was stored', { skip }, async (t) => {
  const scene = await LocksScene.start(t, 2, 15);
  const [a, b, c] = await Promise.all([0, 1, 1].map((host) => scene.member(host)));
  await scene.openAs('release', 'work', SIZE, a!, b!, c!);
  const both = [a!, b!];

  const ROUNDS = 60;
  t.same(await Promise.all([...both, c!].map((one, i) => one.do('count', i + 1, ROUNDS))), [0, 0, 0]);
  // Nobody refreshes but by the lock.
  for (const one of both) {
    t.equal(await one.do('lock', 'count'), false);
    t.equal(await one.do('load', 0), 3 * ROUNDS, 'none was lost under the mutex');
    await one.do('unlock', 'count');
  }

  t.same(
    await Promise.all([...both, c!].map((one, i) => one.do('halo', i, 3, 20))),
    [0, 0, 0],
    'the barrier',
  );

  const reached = a!.do('reach', 30);
  await b!.do('store', 20, 7);
  await b!.do('add', 30);
  t.equal(await reached, 30);
  t.equal(await a!.do('load', 20), 7, 'the counter');

  const woken = a!.do('wait');
  await until('it waits', () => a!.notes === 1);
  await b!.do('lock', 'guard');
  await b!.do('store', 21, 8);
  await b!.do('signal');
  await b!.do('unlock', 'guard');
  t.equal(await woken, true);
  t.equal(await a!.do('load', 21), 8, 'the condition');

  await a!.do('write', 'rw');
  await a!.do('store', 22, 9);
  const reads = b!.do('read', 'rw');
  await a!.do('unlock', 'rw');
  await reads;
  t.equal(await b!.do('load', 22), 9, 'the rwlock');
});

t.test('the heap on all hosts', { skip }, async (t) => {
  const scene = await LocksScene.start(t, 2, 15);
  const members = await Promise.all([0, 1, 1].map((host) => scene.member(host)));
  await scene.openAs('release', 'heap', SIZE, ...members);
  await Promise.all(members.map((one) => one.do('heap', 20)));
  t.equal(await members[0]!.do('heap', 2), 31);
  t.equal(await members[1]!.do('heap', 2), 32);
});

t.test('members that die, and a host', { skip }, async (t) => {
  const scene = await LocksScene.start(t, 3, 15);
  const [a, b, c, d] = await Promise.all([0, 1, 1, 2].map((host) => scene.member(host)));
  await scene.openAs('release', 'work', SIZE, a!, b!, c!, d!);

  t.equal(await c!.do('lock', 'own'), false);
  await c!.do('store', 30, 3);
  const next = a!.do('lock', 'own');
  await c!.kill();
  t.equal(await next, true, 'the next owner is told');
  t.equal(await a!.do('load', 30), 3, 'and finds what the dead one had stored');
  await a!.do('store', 30, 4);
  await a!.do('unlock', 'own');
  t.equal(await b!.do('lock', 'own'), false);
  t.equal(await b!.do('load', 30), 4, 'which does not come back over what was stored since');
  await b!.do('unlock', 'own');

  t.equal(await b!.do('lock', 'left'), false);
  await b!.do('store', 32, 5);
  await b!.do('leave');
  t.equal(await a!.do('lock', 'left'), true, 'whoever leaves the region leaves it behind');
  t.equal(await a!.do('load', 32), 5, 'with what it had stored');

  // Home is the first host, and the one that dies has a copy.
  t.equal(await d!.do('lock', 'far'), false);
  await d!.do('store', 31, 1);
  await d!.do('flush');
  await d!.do('store', 31, 2);
  // Who waits says so in the page of the lock, and so has it.
  t.equal(await a!.do('lock', 'far', 100), null);
  const far = a!.do('lock', 'far');
  await Promise.all([scene.servers[2]!.kill(), d!.kill()]);
  t.equal(await far, true, 'what a host leaves behind is had by the others');
  t.equal(await a!.do('load', 31), 1, 'with what it had released, and no more');
});
