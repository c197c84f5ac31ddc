/** Pages that two hosts keep: engines as processes, killed at any moment, and what is left. */
import t from 'tap';
import { withoutOpenssl } from '../host/hosts/support/certificates.ts';
import { until } from '../support/protocol/until.ts';
import type { SpreadHost } from '../support/spread-hosts.ts';
import { LOST, PAGES, SpreadScene, type Status } from '../support/spread-scene.ts';

const skip = withoutOpenssl() ?? false;
const twice = { consistency: 'release', replicas: 2 } as const;

async function failure(done: Promise<unknown>): Promise<number | undefined> {
  return done.then(
    () => undefined,
    (error: { failure?: number }) => error.failure,
  );
}

const status = (host: SpreadHost): Promise<Status> => host.do<Status>('status');

async function whole(...hosts: readonly SpreadHost[]): Promise<void> {
  await until('each page has its copies again', async () => {
    const all = await Promise.all(hosts.map(status));
    return all.every(({ copies, missing, quiet }) => copies === 2 && missing === 0 && quiet);
  });
}

function noRejects(t: { notOk(value: unknown): void }, ...hosts: readonly SpreadHost[]): void {
  for (const host of hosts) t.notOk(host.events.some(({ kind }) => kind === 'reject'));
}

/** Kills one, and has the others go on without it. */
async function kill(
  dead: SpreadHost,
  epoch: number,
  alive: number,
  ...left: readonly SpreadHost[]
): Promise<void> {
  await dead.kill();
  for (const host of left) await host.event('down', ({ node }) => node === dead.node);
  for (const host of left) await host.do('install', epoch, alive);
}

t.test('what was flushed is there after its home is gone, and after the next one', { skip }, async (t) => {
  const [one, two, three] = (await new SpreadScene(t).form(3, twice)) as [SpreadHost, SpreadHost, SpreadHost];
  for (const host of [one, two, three]) {
    const { replicas, copies, missing, kept } = await status(host);
    t.same([replicas, copies, missing], [2, 2, 0]);
    t.ok(kept >= Math.floor((2 * PAGES) / 3), 'a part for each of two homes', { kept });
  }
  await two.do('fill', 1, 0, PAGES, 1);
  await two.do('flush', 1);
  // Of the home's own members, too: page 0 is at home with the first, which keeps it with the second.
  await one.do('paint', 1, 0, 0, 4, 9);
  await one.do('flush', 1);
  await one.do('paint', 1, 0, 8, 4, 9);
  // Another host writes to it at the same time.
  await three.do('paint', 1, 0, 16, 4, 7);
  await one.do('fill', 1, 3, 4, 2);
  const flushing = three.do('flush', 1);
  await kill(one, 2, 0b110, two, three);
  await flushing;
  for (const host of [two, three]) {
    await host.do('refresh', 1);
    t.same(await host.do('bytes', 1, 0, 0, 4), [9, 9, 9, 9], 'what it had flushed');
    t.not((await host.do<number[]>('bytes', 1, 0, 8, 4)).join(), '9,9,9,9', 'what it had not is not there');
    t.same(await host.do('bytes', 1, 0, 16, 4), [7, 7, 7, 7], 'what was under way has arrived');
    t.same(await host.do('verify', 1, 1, PAGES, 1), [], 'all else is as before');
  }
  await whole(two, three);
  await three.do('fill', 1, 0, PAGES, 3);
  await three.do('flush', 1);
  await kill(three, 3, 0b010, two);
  t.same(await two.do('verify', 1, 0, PAGES, 3), [], 'after the second one, too');
  const { copies, missing, kept } = await status(two);
  t.same([copies, missing, kept], [1, PAGES, PAGES], 'fewer than asked for, and it says so');
  noRejects(t, two);
});

t.test('a host that comes gets copies, and is enough when the other goes', { skip }, async (t) => {
  const scene = new SpreadScene(t);
  const [one, two] = (await scene.form(2, twice)) as [SpreadHost, SpreadHost];
  await one.do('fill', 1, 0, PAGES, 1);
  await one.do('flush', 1);
  await kill(two, 2, 0b01, one);
  t.equal((await status(one)).missing, PAGES);
  const again = scene.host({ node: 1, homes: 2, ...twice });
  await again.ready;
  await again.do('expect', 0, 'node0');
  await again.do('connect', 0, scene.ports[0]);
  await again.event('up');
  await again.do('addSpace', 3, 0b10, false);
  await again.do('join');
  await one.do('install', 4, 0b11);
  await again.do('install', 4, 0b11);
  // While they are copied.
  for (let round = 2; round < 6; round++) {
    await Promise.all([one.do('fill', 1, 0, 32, round), again.do('fill', 1, 32, PAGES, round)]);
    await Promise.all([one.do('flush', 1), again.do('flush', 1)]);
  }
  await whole(one, again);
  t.equal((await status(again)).kept, PAGES);
  noRejects(t, one, again);
  await kill(one, 5, 0b10, again);
  t.same(await again.do('verify', 1, 0, PAGES, 5), []);
});

t.test(
  'one that is nobody of those who formed it keeps pages in what it has for copies',
  { skip },
  async (t) => {
    const scene = new SpreadScene(t);
    const [one] = (await scene.form(1, twice)) as [SpreadHost];
    t.same([(await status(one)).copies, (await status(one)).missing], [1, PAGES], 'it works alone');
    await one.do('fill', 1, 0, PAGES, 1);
    await one.do('flush', 1);
    const join = async (node: number, cache: number, epoch: number, alive: number): Promise<SpreadHost> => {
      const host = scene.host({ node, homes: 1, ...twice, cache });
      await host.ready;
      await one.do('expect', node, `node${node}`);
      await host.do('expect', 0, 'node0');
      await host.do('connect', 0, scene.ports[0]);
      await host.event('up');
      await host.do('addSpace', epoch, 2 ** node, false);
      await host.do('join');
      await one.do('install', epoch + 1, alive);
      await host.do('install', epoch + 1, alive);
      return host;
    };
    const small = await join(1, PAGES / 2, 2, 0b11);
    t.same(await small.do('verify', 1, 0, PAGES, 1), []);
    t.same([(await status(one)).copies, (await status(one)).missing], [1, PAGES], 'it has no room');
    await kill(small, 4, 0b01, one);
    const large = await join(2, PAGES + 16, 5, 0b101);
    await whole(one, large);
    await one.do('fill', 1, 0, PAGES, 2);
    await one.do('flush', 1);
    await kill(one, 7, 0b100, large);
    t.same(await large.do('verify', 1, 0, PAGES, 2), []);
  },
);

t.test('copies that are kept are read without asking, and move for nobody', { skip }, async (t) => {
  const [one, two] = (await new SpreadScene(t).form(2, twice)) as [SpreadHost, SpreadHost];
  await one.do('fill', 1, 0, PAGES, 1);
  await one.do('flush', 1);
  await two.do('refresh', 1);
  t.same(await two.do('verify', 1, 0, PAGES, 1), []);
  const { faultsRemote, pagesIn } = await status(two);
  t.same([faultsRemote, pagesIn], [0, 0]);
  // Each has something in every page that the other must not go over.
  for (let round = 1; round <= 20; round++) {
    await Promise.all(
      [one, two].flatMap((host, i) =>
        Array.from({ length: 8 }, (_, page) => host.do('paint', 1, page, i * 64, 64, 2 * round + i)),
      ),
    );
    await Promise.all([one.do('flush', 1), two.do('flush', 1)]);
    for (const host of [one, two])
      for (let page = 0; page < 8; page++) {
        const bytes = await host.do<number[]>('bytes', 1, page, 0, 128);
        t.same(
          [bytes[0], bytes[63], bytes[64], bytes[127]],
          [0, 0, 1, 1].map((i) => 2 * round + i),
        );
      }
  }
  noRejects(t, one, two);
});

t.test('more homes gone at once than there are copies: what is lost is said to be', { skip }, async (t) => {
  const [one, two, three] = (await new SpreadScene(t).form(3, twice)) as [SpreadHost, SpreadHost, SpreadHost];
  await three.do('fill', 1, 0, PAGES, 1);
  await three.do('flush', 1);
  await Promise.all([one.kill(), two.kill()]);
  for (const node of [0, 1]) await three.event('down', (event) => event.node === node);
  await three.do('install', 2, 0b100);
  // Page 0 was with the first two, page 1 with the last two, page 2 with the third and the first. Its member may store to page 0 until
  // it has done the order to let go of it, which no answer waits for.
  await until('the order', async () => (await three.do('right', 1, 0)) === 0);
  t.equal(await failure(three.do('fill', 1, 0, 1, 2)), LOST);
  t.same(await three.do('verify', 1, 1, 3, 1), []);
  t.equal((await status(three)).copies, 0);
});

t.test('a connection that is lost under a flush of many pages', { skip, timeout: 120_000 }, async (t) => {
  const scene = new SpreadScene(t);
  // More than may wait for a node that only asks.
  const pages = 10_000;
  const [one, two] = (await scene.form(2, { ...twice, pages, patienceMs: 60_000 })) as [
    SpreadHost,
    SpreadHost,
  ];
  await one.do('disconnect', 1);
  for (const host of [one, two]) await host.event('down');
  // A little of each page whose home is here: the differences are small, and the pages are not.
  await one.do('paintAll', 1, 2, pages, 7);
  const flushing = one.do('flush', 1);
  await one.do('connect', 1, scene.ports[1]);
  await until('they are connected again', () =>
    [one, two].every(({ events }) => events.filter(({ kind }) => kind === 'up').length === 2),
  );
  for (const host of [one, two]) await host.do('install', 2, 0b11);
  await Promise.race([flushing, one.event('reject')]);
  noRejects(t, one, two);
  await flushing;
  await one.kill();
  await two.event('down', ({ why }) => why !== 'disconnected here' && two.events.length > 0);
  await two.do('install', 3, 0b10);
  for (const page of [0, pages / 2, pages - 2])
    t.same(await two.do('bytes', 1, page, 0, 4), [7, 7, 7, 7], 'what was flushed the other has');
});
