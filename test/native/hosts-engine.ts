import t from 'tap';
import { withoutOpenssl } from '../host/hosts/support/certificates.ts';
import { PAGES, SpreadScene, type Status } from '../support/spread-scene.ts';

const skip = withoutOpenssl() ?? false;

t.test('pages move between two hosts, and their bytes with them', { skip }, async (t) => {
  const [one, two] = await new SpreadScene(t).form(2);
  await one!.do('fill', 1, 0, PAGES, 1);
  t.same(await two!.do('verify', 1, 0, PAGES, 1), [], 'what one wrote the other reads');
  await two!.do('fill', 1, 0, PAGES, 2);
  t.same(await one!.do('verify', 1, 0, PAGES, 2), [], 'and back');
  t.same(await two!.do('verify', 1, 0, PAGES, 2), []);
  const status = await one!.do<Status>('status');
  t.ok(status.pagesIn >= PAGES / 2 && status.pagesOut >= PAGES / 2, 'they came over the wire', { status });
  t.same(status.members, [1]);
  t.equal(
    status.heat.reduce((sum, times) => sum + times, 0),
    status.pagesIn + status.pagesOut,
    'the heat is of all of them',
  );
  t.notOk(one!.events.some(({ kind }) => kind === 'reject'));
});

t.test('large pages do so too', { skip }, async (t) => {
  const [one, two] = await new SpreadScene(t).form(2, { pageShift: 18, pages: 12, cache: 8 });
  await one!.do('fill', 1, 0, 12, 3);
  t.same(await two!.do('verify', 1, 0, 12, 3), []);
  await two!.do('fill', 1, 0, 12, 4);
  t.same(await one!.do('verify', 1, 0, 12, 4), []);
});

t.test('members of three hosts count in the same words, and none is lost', { skip }, async (t) => {
  const hosts = await new SpreadScene(t).form(3);
  await Promise.all(hosts.map((host) => host.do('join')));
  const times = 40;
  // Two pages at a time, with different homes, from two members a host.
  await Promise.all(
    hosts.flatMap((host) =>
      [1, 2].flatMap((slot) => [4, 5].map((page) => host.do('increment', slot, page, times))),
    ),
  );
  for (const host of hosts) {
    t.equal(await host.do('value', 1, 4), 6 * times);
    t.equal(await host.do('value', 2, 5), 6 * times);
  }
  await hosts[0]!.do('fill', 1, 9, 10, 1);
  const before = await hosts[0]!.do<Status>('status');
  t.same(await hosts[0]!.do('verify', 2, 9, 10, 1), []);
  const after = await hosts[0]!.do<Status>('status');
  t.equal(after.faultsLocal, before.faultsLocal + 1, 'members of one host share a frame');
  t.equal(after.faultsRemote, before.faultsRemote);
});

t.test('where frames are few, pages make room for each other and go home', { skip }, async (t) => {
  const pages = 128;
  const [one, two] = await new SpreadScene(t).form(2, { pages, cache: 8 });
  await one!.do('fill', 1, 0, pages, 5);
  await two!.do('fill', 1, 0, pages, 6);
  t.same(await one!.do('verify', 1, 0, pages, 6), []);
  t.same(await two!.do('verify', 1, 0, pages, 6), []);
  const status = await two!.do<Status>('status');
  t.ok(status.evictions >= pages / 2 - status.cacheFrames, 'it had to', { status });
  // All at once, though there is room for few of them: each is had for a moment.
  const asked = await two!.do<number>('acquireAll', 1, 0, pages);
  t.equal(asked, pages);
});

t.test('a member that leaves or does not answer gives up what it has', { skip }, async (t) => {
  const [one, two] = await new SpreadScene(t).form(2, { patienceMs: 1500 });
  await one!.do('fill', 1, 0, 4, 7);
  await one!.do('idle', 1, true);
  const read = two!.do('verify', 1, 0, 4, 7);
  const { slot, space } = await one!.event('silent');
  t.same([slot, space], [1, 7], 'the server is told whom to evict');
  await one!.do('leave', 1);
  t.same(await read, [], 'and the pages move on');
  t.same((await one!.do<Status>('status')).members, []);
});

t.test('nodes send each other messages', { skip }, async (t) => {
  const [one, two] = await new SpreadScene(t).form(2);
  t.equal(await one!.do('tell', 1, 'x'.repeat(65_536)), true);
  t.equal((await two!.event('told')).text.length, 65_536);
  t.equal(await one!.do('tell', 5, 'hello'), false, 'nobody is there');
});
