/** Servers of a list that end, each in a process of its own, with members that use a space all the time. */
import t from 'tap';
import { until } from '../../support/protocol/until.ts';
import { withoutOpenssl } from './support/certificates.ts';
import { Fleet, opened, said } from './support/fleet.ts';
import { ended, Load, lastStore, load, outcome, PAGE, store } from './support/scenes.ts';

const SIZE = 64 * PAGE;
const skip = withoutOpenssl() ?? false;
const LIMIT = { skip, timeout: 170_000 };
/** Long enough that no host's ends because the machine is busy; a test that waits for its end lasts longer than that. */
const LEASE = 15;
const [A, B, C] = [0, 1, 2];

t.test('kill -9 of a server under load, at once started again', LIMIT, async (t) => {
  const fleet = new Fleet(t, 3, { lease: LEASE });
  await fleet.start(A, B, C);
  const [b, c] = await Promise.all(
    [B, C].map(async (host) => opened(await fleet.member(host), 'grid', SIZE)),
  );
  for (let page = 10; page < 20; page++) await store(b!, page, 100 + page);
  for (let page = 10; page < 15; page++) t.equal(await load(c!, page), 100 + page);
  const loads = [
    new Load(t, b!, 30, 1),
    new Load(t, c!, 31, 1),
    new Load(t, b!, 32, 1),
    new Load(t, c!, 32, 2),
  ];
  const storer = await fleet.storer(A, 'grid', SIZE);

  await fleet.end(A, 'SIGKILL');
  // Its earlier life's member still stores: nobody may have that page before it has stopped, also not the server's next life.
  await fleet.start(A);
  const first = await outcome(b!, 0);
  t.equal(await ended(storer.child), 'SIGSEGV', 'it has the page no more');
  t.equal(first.is, 'ERR_IVSHMEM_PAGES_LOST', 'what only the dead server had is lost');
  t.ok(lastStore(storer.file) < first.at, 'and nobody stores to it any more by then');
  const again = await opened(await fleet.member(A), 'grid', SIZE);
  t.equal(await load(again, 12), 112, 'the server that came back sees what the others have');
  await store(again, 12, 7);
  t.equal(await load(c!, 12), 7, 'and they what it has');

  const rounds = loads.map((one) => one.rounds);
  await until('all go on', () => loads.every((one, i) => one.rounds > rounds[i]! + 10), 120);
  for (const one of loads) await one.stop();
  t.same([...new Set(loads.flatMap(({ errors }) => errors))], [], 'nothing of theirs was lost');
  for (let page = 13; page < 20; page++) t.equal(await load(c!, page), 100 + page);
  const words = new Uint32Array(b!.buffer, 32 * PAGE);
  await load(b!, 32);
  t.same(
    [words[1], words[2]],
    [loads[2]!.rounds, loads[3]!.rounds],
    'no store of two hosts to a page was lost',
  );
});

t.test('one that ends in good order is not waited for', LIMIT, async (t) => {
  // Much longer than the test: who waited for it would not be done.
  const fleet = new Fleet(t, 3, { lease: 60 });
  await fleet.start(A, B, C);
  const [a, b] = await Promise.all(
    [A, B].map(async (host) => opened(await fleet.member(host), 'grid', SIZE)),
  );
  for (let page = 10; page < 20; page++) await store(a!, page, 100 + page);
  const loads = [new Load(t, a!, 30, 1), new Load(t, b!, 31, 1), new Load(t, b!, 32, 1)];
  const member = await fleet.program(C, 'grid', SIZE, 'acquire');
  const told = said(member);
  await fleet.end(C, 'SIGTERM');
  t.equal(await told, 'ERR_IVSHMEM_PAGES_FENCED', 'its members are told');
  const rounds = loads.map((one) => one.rounds);
  // Homes of pages were there.
  await until('all others go on', () => loads.every((one, i) => one.rounds > rounds[i]! + 10), 50);
  for (let page = 10; page < 20; page++) t.equal(await load(b!, page), 100 + page);
  for (const one of loads) await one.stop();
  t.same([...new Set(loads.flatMap(({ errors }) => errors))], []);
});
