import t from 'tap';
import { withoutOpenssl } from '../host/hosts/support/certificates.ts';
import { FENCED, LOST, PAGES, SpreadScene, type Status } from '../support/spread-scene.ts';

const skip = withoutOpenssl() ?? false;
const release = { consistency: 'release' } as const;

/** What the members' node said of something that it could not do; undefined: it did it. */
async function failure(done: Promise<unknown>): Promise<number | undefined> {
  return done.then(
    () => undefined,
    (error: { failure?: number }) => error.failure,
  );
}

t.test('what one host released another sees that refreshes', { skip }, async (t) => {
  const [one, two] = await new SpreadScene(t).form(2, release);
  // Page 1 has its home at the second host.
  t.same(await one!.do('bytes', 1, 1, 0, 4), [0, 0, 0, 0]);
  await one!.do('paint', 1, 1, 0, 4, 7);
  t.same(await two!.do('bytes', 1, 1, 0, 4), [0, 0, 0, 0], 'not released yet');
  await one!.do('flush', 1);
  t.same(await two!.do('bytes', 1, 1, 0, 4), [7, 7, 7, 7], 'the home has it');
  await two!.do('paint', 1, 1, 2, 4, 8);
  t.same(await one!.do('bytes', 1, 1, 0, 6), [7, 7, 7, 7, 0, 0], 'a copy stays what it is');
  await two!.do('flush', 1);
  await one!.do('refresh', 1);
  t.same(await one!.do('bytes', 1, 1, 0, 6), [7, 7, 8, 8, 8, 8]);
  t.equal((await one!.do<Status>('status')).consistency, 'release');
  for (const host of [one!, two!]) t.notOk(host.events.some(({ kind }) => kind === 'reject'));
});

t.test('hosts that write to one page at once keep what each has written', { skip }, async (t) => {
  const hosts = await new SpreadScene(t).form(3, release);
  // Page 0 has its home with the first of them, page 1 with the second.
  for (let round = 1; round <= 5; round++) {
    await Promise.all(
      hosts.flatMap((host, i) =>
        [0, 1].map((page) => host.do('paint', 1, page, i * 100, 100, 10 * round + i)),
      ),
    );
    await Promise.all(hosts.map((host) => host.do('flush', 1)));
    await Promise.all(hosts.map((host) => host.do('refresh', 1)));
    for (const host of hosts) {
      for (const page of [0, 1]) {
        const bytes = await host.do<number[]>('bytes', 1, page, 0, 300);
        const wanted = bytes.map((_, at) => 10 * round + Math.floor(at / 100));
        t.same(bytes, wanted, `round ${round}, host ${host.node}, page ${page}`);
      }
    }
  }
  const status = await Promise.all(hosts.map((host) => host.do<Status>('status')));
  t.ok(status[2]!.mergesOut >= 10 && status[0]!.mergesIn >= 10, 'differences went home', { status });
  for (const { dirty, quiet } of status) t.same([dirty, quiet], [0, true]);
  for (const host of hosts) t.notOk(host.events.some(({ kind }) => kind === 'reject'));
});

t.test('what is not written any more is not compared for ever', { skip }, async (t) => {
  const [one] = await new SpreadScene(t).form(2, release);
  await one!.do('fill', 1, 0, PAGES, 1);
  t.equal((await one!.do<Status>('status')).dirty, PAGES / 2, 'pages of the other host');
  await one!.do('flush', 1);
  t.equal(await one!.do('right', 1, 1), 2, 'a release takes nothing away');
  await one!.do('flush', 1);
  while ((await one!.do<Status>('status')).dirty > 0) await one!.do('flush', 1);
  t.equal(await one!.do('right', 1, 1), 1, 'but the right to write where nothing was written');
  const { mergesOut } = await one!.do<Status>('status');
  t.equal(mergesOut, PAGES / 2, 'each of them went once');
});

t.test('where frames are few, what was written goes home with the page', { skip }, async (t) => {
  const pages = 128;
  const [one, two] = await new SpreadScene(t).form(2, { ...release, pages, cache: 8 });
  await one!.do('fill', 1, 0, pages, 5);
  await one!.do('flush', 1);
  t.same(await two!.do('verify', 1, 0, pages, 5), []);
  await two!.do('fill', 1, 0, pages, 6);
  await two!.do('flush', 1);
  await one!.do('refresh', 1);
  t.same(await one!.do('verify', 1, 0, pages, 6), []);
  const status = await two!.do<Status>('status');
  t.ok(status.evictions >= pages / 2 - status.cacheFrames, 'it had to', { status });
  // Flushes while others ask for more than there are frames.
  const storm = [1, 2, 3].map(async (seed) => {
    for (let i = 0; i < 10; i++) await one!.do('flush', 1);
    return seed;
  });
  await one!.do('fill', 1, 0, pages, 7);
  await Promise.all(storm);
  await one!.do('flush', 1);
  await two!.do('refresh', 1);
  t.same(await two!.do('verify', 1, 0, pages, 7), []);
});

t.test('who refreshes all the time does not keep others from a page', { skip }, async (t) => {
  const [one] = await new SpreadScene(t).form(2, release);
  await one!.do('join');
  let over = false;
  const refreshing = (async () => {
    while (!over) await one!.do('refresh', 2);
  })();
  await one!.do('fill', 1, 0, PAGES, 3);
  over = true;
  await refreshing;
  await one!.do('flush', 1);
  await one!.do('refresh', 1);
  t.same(await one!.do('verify', 1, 0, PAGES, 3), []);
});

t.test('a member that goes leaves nothing behind that others do not have', { skip }, async (t) => {
  const [one, two] = await new SpreadScene(t).form(2, release);
  await one!.do('paint', 1, 1, 0, 4, 7);
  await one!.do('leave', 1);
  for (;;) {
    const { dirty, quiet, mergesOut } = await one!.do<Status>('status');
    if (quiet && mergesOut === 1) break;
    t.ok(dirty <= 1);
  }
  t.same(await two!.do('bytes', 1, 1, 0, 4), [7, 7, 7, 7]);
});

t.test(
  'the pages of a killed host are lost, and those who wrote to them are told once',
  { skip },
  async (t) => {
    const [one, two, three] = await new SpreadScene(t).form(3, release);
    await one!.do('join');
    await one!.do('fill', 1, 0, PAGES, 1);
    await one!.do('flush', 1);
    t.same(await two!.do('verify', 1, 0, PAGES, 1), []);
    // Page 2 and page 5 have their home with three, page 1 with two.
    await one!.do('paint', 1, 2, 0, 4, 9);
    await one!.do('paint', 1, 1, 0, 4, 9);
    await three!.do('paint', 1, 1, 8, 4, 9);
    await three!.kill();
    for (const host of [one!, two!]) await host.event('down', ({ node }) => node === 2);
    const flushing = failure(one!.do('flush', 1));
    for (const host of [one!, two!]) await host.do('install', 2, 0b011);
    t.equal(await flushing, LOST, 'what was written to page 2 is gone');
    t.equal(await failure(one!.do('flush', 2)), LOST, 'the other member of this host is told, too');
    t.equal(await failure(one!.do('flush', 1)), undefined, 'once');
    for (const host of [one!, two!]) {
      await host.do('refresh', 1);
      t.same(await host.do('bytes', 1, 1, 0, 4), [9, 9, 9, 9], 'what went to a home that lives is there');
      t.equal(await failure(host.do('verify', 1, 2, 3, 1)), LOST);
      t.equal(await failure(host.do('fill', 1, 5, 6, 1)), LOST);
      t.same(await host.do('verify', 1, 3, 5, 1), [], 'pages of others');
      t.notOk(host.events.some(({ kind }) => kind === 'reject'));
    }
  },
);

t.test('a host that comes anew is the home of nothing', { skip }, async (t) => {
  const scene = new SpreadScene(t);
  const [one, two] = await scene.form(2, release);
  await one!.do('fill', 1, 0, PAGES, 1);
  await one!.do('flush', 1);
  await two!.kill();
  await one!.event('down');
  await one!.do('install', 2, 0b01);
  const again = scene.host({ node: 1, homes: 2, ...release });
  await again.ready;
  await again.do('expect', 0, 'node0');
  await again.do('connect', 0, scene.ports[0]);
  await again.event('up');
  // Alone at first, as a host is that has just heard of the space.
  await again.do('addSpace', 3, 0b10, false);
  await one!.do('install', 4, 0b11);
  await again.do('install', 4, 0b11);
  await again.do('join');
  for (const host of [one!, again]) t.equal(await failure(host.do('verify', 1, 1, 2, 1)), LOST);
  t.same(await again.do('verify', 1, 2, 3, 1), []);
  await again.do('paint', 1, 2, 0, 4, 5);
  await again.do('flush', 1);
  t.same(await one!.do('bytes', 1, 2, 0, 4), [5, 5, 5, 5]);
  for (const host of [one!, again]) t.notOk(host.events.some(({ kind }) => kind === 'reject'));
});

t.test('a host that joins has what the homes have', { skip }, async (t) => {
  const scene = new SpreadScene(t);
  const [one, two] = await scene.form(2, release);
  await one!.do('fill', 1, 0, PAGES, 1);
  await one!.do('flush', 1);
  const three = scene.host({ node: 2, homes: 2, ...release });
  await three.ready;
  for (const host of [one!, two!]) {
    await host.do('expect', 2, 'node2');
    await three.do('expect', host.node, `node${host.node}`);
    await three.do('connect', host.node, scene.ports[host.node]);
    await three.event('up', ({ node }) => node === host.node);
  }
  // It has heard of the space, and the others not of it; then all agree.
  await three.do('addSpace', 2, 0b100, false);
  await three.do('join');
  const waiting = failure(three.do('verify', 1, 0, PAGES, 1));
  for (const host of [one!, two!, three]) await host.do('install', 3, 0b111);
  t.equal(await waiting, LOST, 'alone it had none of them');
  t.same(await three.do('verify', 1, 0, PAGES, 1), []);
  await three.do('paint', 1, 0, 0, 4, 5);
  await three.do('flush', 1);
  t.same(await one!.do('bytes', 1, 0, 0, 4), [5, 5, 5, 5]);
  for (const host of [one!, two!, three]) t.notOk(host.events.some(({ kind }) => kind === 'reject'));
});

t.test('what was not answered is sent again after connections were lost', { skip }, async (t) => {
  const scene = new SpreadScene(t);
  const [one, two] = await scene.form(2, release);
  await one!.do('fill', 1, 0, PAGES, 1);
  await one!.do('disconnect', 1);
  for (const host of [one!, two!]) await host.event('down');
  const flushing = one!.do('flush', 1);
  await one!.do('connect', 1, scene.ports[1]);
  const again = (host: typeof one): Promise<unknown> =>
    host!.event(
      'up',
      (event) => host!.events.indexOf(event) > host!.events.findIndex(({ kind }) => kind === 'down'),
    );
  await Promise.all([again(one), again(two)]);
  for (const host of [one!, two!]) await host.do('install', 2, 0b11);
  await flushing;
  t.same(await two!.do('verify', 1, 0, PAGES, 1), []);
});

t.test('a fenced host answers nobody any more', { skip }, async (t) => {
  const [one] = await new SpreadScene(t).form(2, release);
  await one!.do('paint', 1, 1, 0, 4, 7);
  await one!.do('fence');
  await one!.event('fenced');
  t.equal(await one!.do('right', 1, 1), 0);
  for (const what of ['flush', 'refresh']) t.equal(await failure(one!.do(what, 1)), FENCED);
  t.equal(await failure(one!.do('fill', 1, 1, 2, 1)), FENCED);
});
