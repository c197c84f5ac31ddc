/** What a member's statistics say of its sockets: `ivshmem top` and metrics show them. */
import { once } from 'node:events';
import t from 'tap';
import { createServer as createHost } from '../../src/host/index.ts';
import { open } from '../../src/index.ts';
import { metrics, socketsOf } from '../../src/metrics/index.ts';
import { connect, createServer } from '../../src/net/index.ts';
import { parseMetrics, seriesValue } from '../support/prometheus.ts';
import { until } from '../support/protocol/until.ts';

t.test('sockets by path', async (t) => {
  const socket = `@ivshmem-net-counted-${process.pid}`;
  const host = await createHost({ regions: [{ name: 'counted', socket, size: 32 << 20 }] });
  const here = await open({ socket, name: 'here' });
  const there = await open({ socket, name: 'there' });
  t.teardown(async () => {
    await here.close();
    await there.close();
    await host.close();
  });
  const server = createServer({ region: there }, (peer) => void peer.on('error', () => {}).resume()).listen(
    0,
    '127.0.0.1',
  );
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const plain = createServer({ region: null }).listen(0, '127.0.0.1');
  await once(plain, 'listening');
  const elsewhere = (plain.address() as { port: number }).port;
  const clients = [port, port, elsewhere].map((port) => connect({ port, host: '127.0.0.1', region: here }));
  await until('shared memory', () => clients.filter(({ path }) => path === 'shared-memory').length === 2);
  await until('a reason', () => clients[2]!.pathReason === 'no-peer');
  t.same(socketsOf(here.statistics()), { sharedMemory: 2, tcp: 1 });
  await until('shared memory there', () => socketsOf(there.statistics()).sharedMemory === 2);
  t.same(socketsOf(there.statistics()), { sharedMemory: 2, tcp: 0 });
  const series = parseMetrics(await metrics(here).metrics());
  const labels = { region: 'counted', member: 'here' };
  t.equal(seriesValue(series, 'ivshmem_member_sockets', { ...labels, path: 'shared-memory' }), 2);
  t.equal(seriesValue(series, 'ivshmem_member_sockets', { ...labels, path: 'tcp' }), 1);

  await here.drain();
  await until('TCP', () => clients.every(({ path }) => path === 'tcp'));
  t.same(socketsOf(here.statistics()), { sharedMemory: 0, tcp: 3 });
  for (const client of clients) client.on('error', () => {}).destroy();
  await until('the end', () => here.statistics().socketsClosed === 3);
  t.same(socketsOf(here.statistics()), { sharedMemory: 0, tcp: 0 });
  await until('the end there', () => socketsOf(there.statistics()).tcp === 0);
  t.match(there.statistics(), { socketsOpened: 2, socketsClosed: 2 });
  server.close();
  plain.close();
});
