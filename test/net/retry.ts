/** When a connection that came to nothing is offered again: soon and often, and then now and then while it carries something. */
import { once } from 'node:events';
import net from 'node:net';
import { mock } from 'node:test';
import t from 'tap';
import type { Region } from '../../src/channel/index.ts';
import type { Directory } from '../../src/net/directory.ts';
import { Offers } from '../../src/net/offers.ts';
import type { Reason } from '../../src/net/reasons.ts';
import { linkUnder, Socket, setPath } from '../../src/net/socket.ts';
import { until } from '../support/protocol/until.ts';

/** A connection that knows of a region in which nobody is, and how often it was looked for somebody there. */
async function connection(t: { teardown(act: () => void): void }) {
  const server = net
    .createServer((socket) => socket.on('error', () => {}).pipe(socket))
    .listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = new Socket();
  socket.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  t.teardown(() => {
    socket.destroy();
    server.close();
  });
  let looked = 0;
  const listenersAt = (): readonly never[] => {
    looked++;
    return [];
  };
  const directory = { listenersAt } as unknown as Directory;
  const here = { region: {} as Region, directory, ready: Promise.resolve() };
  const sizes = { dataBytes: 4096, maxDataBytes: 4096, queueSize: 8, idleMs: 60_000 };
  const offers = new Offers(here, sizes);
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  offers.connected(socket);
  linkUnder(socket);
  /** The handshake that was under way ended so; `ms` later it was offered again so many times. */
  const after = async (reason: Reason, ms: number): Promise<number> => {
    setPath(socket, 'tcp', reason);
    offers.idle(socket);
    const before = looked;
    mock.timers.tick(ms);
    await new Promise(setImmediate);
    return looked - before;
  };
  return { socket, after, looked: () => looked };
}

t.test(
  'a peer that says what only this side has reason to say is not offered it without a pause',
  async (t) => {
    const { after } = await connection(t);
    for (let i = 0; i < 2; i++) mock.timers.tick(3);
    await new Promise(setImmediate);
    for (const reason of ['resized', 'idle'] as const) {
      const before = reason === 'resized' ? 20 : 40;
      t.equal(await after(reason, before - 1), 0, reason);
      t.equal(await after(reason, 1), 1, 'but a while later');
    }
  },
);

t.test('what passes is tried again, more and more rarely', async (t) => {
  const { socket, after, looked } = await connection(t);
  // Young connections are gathered twice before they are offered.
  for (let i = 0; i < 2; i++) mock.timers.tick(3);
  await new Promise(setImmediate);
  const first = looked();
  t.equal(await after('peer-fault', 60_000), 0, 'a peer that breaks the rules is left alone');
  t.equal(await after('not-proven', 19), 0);
  t.equal(await after('not-proven', 1), 1, 'one that came too late is not');
  for (let i = 1; i < 8; i++) {
    t.equal(await after('timeout', (20 << i) - 1), 0);
    t.equal(await after('timeout', 1), 1);
  }
  t.equal(await after('timeout', 60_000), 0, 'a connection that carries nothing does not mind');
  const before = looked();
  t.equal(before - first, 8);
  socket.write('x');
  await once(socket, 'data');
  mock.timers.reset();
  await until('it is offered again with its next bytes', () => looked() === before + 1);
});
