/** A server of a list that joins while a space is in use, and a member that stands still, each in a process of its own. */
import t from 'tap';
import { until } from '../../support/protocol/until.ts';
import { withoutOpenssl } from './support/certificates.ts';
import { Fleet, opened } from './support/fleet.ts';
import { Load, load, outcome, PAGE, standStill, store } from './support/scenes.ts';

const SIZE = 64 * PAGE;
const skip = withoutOpenssl() ?? false;
const LIMIT = { skip, timeout: 170_000 };
/** Long enough that no host's ends because the machine is busy; a test that waits for its end lasts longer than that. */
const LEASE = 15;
const [A, B, C] = [0, 1, 2];

t.test('one that joins late sees everything and gives room', LIMIT, async (t) => {
  const fleet = new Fleet(t, 3, { lease: 60 });
  await fleet.start(A, B);
  const [a, b] = await Promise.all(
    [A, B].map(async (host) => opened(await fleet.member(host), 'grid', SIZE)),
  );
  for (let page = 0; page < 12; page++) await store(page % 2 === 0 ? a! : b!, page, 1000 + page);
  await fleet.start(C);
  const region = await fleet.member(C);
  const c = await opened(region, 'grid', SIZE);
  t.equal(c.created, false);
  for (let page = 0; page < 12; page++) t.equal(await load(c, page), 1000 + page);
  for (let page = 0; page < 12; page++) await store(c, page, 2000 + page);
  // The only copies are there now.
  for (let page = 0; page < 12; page++) t.equal(await load(page % 2 === 0 ? b! : a!, page), 2000 + page);
  const more = await opened(region, 'more', SIZE);
  t.equal(more.created, true, 'and spaces can be made there');
});

t.test('a member that stands still is evicted, and the others go on', LIMIT, async (t) => {
  const fleet = new Fleet(t, 2, { lease: LEASE });
  await fleet.start(A, B);
  const [a, b] = await Promise.all(
    [A, B].map(async (host) => opened(await fleet.member(host), 'grid', SIZE)),
  );
  await store(a!, 0, 5);
  const member = await fleet.program(A, 'grid', SIZE, 'acquire');
  await standStill(member);
  // Until it is known that it has let go, nobody has that page; all others they have.
  const wanted = outcome(b!, 0);
  const loads = [new Load(t, a!, 30, 1), new Load(t, b!, 31, 1)];
  const view = await (await fleet.member(A)).membership();
  await until('it is evicted', () => view.get('acquire') === null, 90);
  const rounds = loads.map((one) => one.rounds);
  await until('the others go on', () => loads.every((one, i) => one.rounds > rounds[i]! + 10), 60);
  member.kill('SIGCONT');
  t.equal((await wanted).is, 5, 'when it goes on, it lets go of what it had');
  await store(b!, 0, 6);
  t.equal(await load(a!, 0), 6);
  for (const one of loads) await one.stop();
  t.same([...new Set(loads.flatMap(({ errors }) => errors))], []);
});
