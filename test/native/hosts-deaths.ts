import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';
import t from 'tap';
import { withoutOpenssl } from '../host/hosts/support/certificates.ts';
import { FENCED, LOST, PAGES, SpreadScene, type Status } from '../support/spread-scene.ts';

const skip = withoutOpenssl() ?? false;

/** What the members' node said of a page that it could not have; undefined: it had it. */
async function failure(access: Promise<unknown>): Promise<number | undefined> {
  return access.then(
    () => undefined,
    (error: { failure?: number }) => error.failure,
  );
}

t.test('the pages of a killed host are lost, and say so; all others live on', { skip }, async (t) => {
  const [one, two, three] = await new SpreadScene(t).form(3);
  await one!.do('fill', 1, 0, PAGES, 1);
  // The only copies of half of them are with three, in the middle of whose work it dies.
  await three!.do('fill', 1, 0, PAGES / 2, 2);
  t.same(await two!.do('verify', 1, 0, 8, 2), [], 'of these, two has a copy');
  void three!.do('increment', 1, 0, 400).catch(() => undefined);
  void one!.do('increment', 1, 0, 400).catch(() => undefined);
  await three!.kill();
  for (const host of [one!, two!]) await host.event('down', ({ node }) => node === 2);
  for (const host of [one!, two!]) await host.do('install', 2, 0b011);
  for (const host of [one!, two!]) {
    t.same(await host.do('verify', 1, 1, 8, 2), [], 'copied');
    t.equal(await failure(host.do('verify', 1, 8, 9, 2)), LOST);
    t.equal(await failure(host.do('fill', 1, PAGES / 2 - 1, PAGES / 2, 2)), LOST);
    t.same(await host.do('verify', 1, PAGES / 2, PAGES, 1), [], 'never had');
  }
  t.equal((await one!.event('lost')).space, 7);
});

t.test('a host that comes anew is another node of the same number', { skip }, async (t) => {
  const scene = new SpreadScene(t);
  const [one, two] = await scene.form(2);
  await one!.do('fill', 1, 0, PAGES, 1);
  await two!.kill();
  await one!.event('down');
  await one!.do('install', 2, 0b01);
  t.same(await one!.do('verify', 1, 0, PAGES, 1), [], 'one has them all');
  const again = scene.host({ node: 1, homes: 2 });
  await again.ready;
  await again.do('expect', 0, 'node0');
  await again.do('connect', 0, scene.ports[0]);
  await again.event('up');
  await again.do('addSpace', 3, 0b11, false);
  await one!.do('install', 3, 0b11);
  await again.do('join');
  t.same(await again.do('verify', 1, 0, PAGES, 1), []);
  await again.do('fill', 1, 0, PAGES, 2);
  t.same(await one!.do('verify', 1, 0, PAGES, 2), []);
});

/** Passes bytes on between two ports, until it is told to stop in the middle of them. */
async function relay(
  t: { teardown(action: () => unknown): void },
  port: number,
): Promise<{ port: number; cut: (afterBytes: number) => void }> {
  const open: Socket[] = [];
  let left = Number.POSITIVE_INFINITY;
  const server = createServer((near) => {
    const far = createConnection(port, '127.0.0.1');
    open.push(near, far);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
      from.on('data', (bytes) => {
        to.write(bytes.subarray(0, Math.max(0, left)));
        left -= bytes.length;
        if (left <= 0) for (const socket of open.splice(0)) socket.destroySoon();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  return {
    port: (server.address() as { port: number }).port,
    cut: (afterBytes) => {
      left = afterBytes;
    },
  };
}

t.test('a connection that ends in the middle of a page', { skip }, async (t) => {
  let wire: Awaited<ReturnType<typeof relay>> | undefined;
  const route = async (port: number): Promise<number> => {
    wire = await relay(t, port);
    return wire.port;
  };
  const [one, two] = await new SpreadScene(t).form(2, { route });
  await one!.do('fill', 1, 0, PAGES, 1);
  // Some come, to read, and the connection ends within one of them.
  wire!.cut(20_000);
  const reading = two!.do('verify', 1, 0, PAGES, 1);
  reading.catch(() => undefined);
  for (const host of [one!, two!]) await host.event('down');
  wire!.cut(Number.POSITIVE_INFINITY);
  await one!.do('connect', 1, wire!.port);
  const again = (host: typeof one): Promise<unknown> =>
    host!.event(
      'up',
      (event) => host!.events.indexOf(event) > host!.events.findIndex(({ kind }) => kind === 'down'),
    );
  await Promise.all([again(one), again(two)]);
  for (const host of [one!, two!]) await host.do('install', 2, 0b11);
  t.same(await reading, [], 'what was to be read is read after all');
  await two!.do('fill', 1, 0, PAGES, 2);
  t.same(await one!.do('verify', 1, 0, PAGES, 2), []);
});

t.test('a lease that is not renewed ends without JavaScript', { skip }, async (t) => {
  const [one, two] = await new SpreadScene(t).form(2);
  await one!.do('fill', 1, 0, 8, 1);
  await one!.do('lease', 600_000, 400_000);
  await one!.do('lease', 300, 200);
  // Its member cannot do orders meanwhile either.
  await one!.do('block', 1000);
  t.equal((await one!.event('lapsed')).space, 7);
  t.equal((await one!.event('fenced')).space, 7);
  const kinds = one!.events.map(({ kind }) => kind).filter((kind) => kind === 'lapsed' || kind === 'fenced');
  t.same(kinds, ['lapsed', 'fenced'], 'in this order');
  t.equal(await one!.do('right', 1, 0), 0, 'the member has nothing any more');
  await one!.do('lease', 600_000, 400_000);
  t.equal(await failure(one!.do('fill', 1, 0, 1, 1)), FENCED, 'and a lease that comes late changes nothing');
  t.equal((await two!.do<Status>('status')).fenced, false);
});

t.test('a fenced host takes everything from its members', { skip }, async (t) => {
  const [one, two] = await new SpreadScene(t).form(2);
  await one!.do('fill', 1, 0, 8, 1);
  await one!.do('idle', 1, true);
  await one!.do('fence');
  t.equal((await one!.do<Status>('status')).fenced, true);
  t.notOk(
    one!.events.some(({ kind }) => kind === 'fenced'),
    'not before the member has done its orders',
  );
  await one!.do('idle', 1, false);
  t.equal((await one!.event('fenced')).space, 7);
  t.equal(await one!.do('right', 1, 0), 0, 'it has nothing any more');
  t.equal(await failure(one!.do('fill', 1, 0, 1, 1)), FENCED);
  await two!.do('install', 2, 0b10);
  t.equal(await failure(two!.do('verify', 1, 0, 1, 1)), LOST, 'what only the fenced one had');
});
