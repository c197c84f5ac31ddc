/** TLS over a socket of ivshmem/net that is on shared memory already, at both ends: an upgrade in the middle of a connection. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import t from 'tap';
import { createServer as createHost } from '../../src/host/index.ts';
import { open } from '../../src/index.ts';
import { connect, createServer, type Socket } from '../../src/net/index.ts';
import { until } from '../support/protocol/until.ts';

const pem = (name: string): Buffer =>
  readFileSync(new URL(`../transparent/support/certificates/${name}`, import.meta.url));
const shared = (socket: Socket): Promise<void> =>
  until('shared memory', () => socket.path === 'shared-memory', 60);

t.test('a connection is upgraded', async (t) => {
  const socket = `@ivshmem-net-tls-${process.pid}`;
  const host = await createHost({ regions: [{ name: 'tls', socket, size: 32 << 20 }] });
  const here = await open({ socket, name: 'here' });
  const there = await open({ socket, name: 'there' });
  t.teardown(async () => {
    await here.close();
    await there.close();
    await host.close();
  });
  const secure = tls.createServer({ cert: pem('server.crt'), key: pem('server.key') }, (peer) => {
    peer.on('error', () => {});
    peer.pipe(peer);
  });
  const server = createServer({ region: there }, (peer) => {
    void shared(peer).then(() => secure.emit('connection', peer));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const client = connect({ port, host: '127.0.0.1', region: here });
  await shared(client);
  const secured = tls.connect({ socket: client, host: '127.0.0.1', ca: pem('ca.crt') });
  await once(secured, 'secureConnect');
  t.equal(secured.authorized, true);
  const parts: Buffer[] = [];
  secured.on('data', (part) => parts.push(part));
  secured.write(Buffer.alloc(300_000, 7));
  await until('the answer', () => parts.reduce((sum, { length }) => sum + length, 0) >= 300_000);
  t.ok(Buffer.concat(parts).equals(Buffer.alloc(300_000, 7)));
  t.equal(client.path, 'shared-memory');
  secured.end();
  await once(secured, 'close');
  server.close();
});
