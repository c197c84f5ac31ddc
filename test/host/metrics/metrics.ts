import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { connect, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { createServer } from '../../../src/host/index.ts';
import { STATISTICS } from '../../../src/memory/layout.ts';
import { connected, serveRegion } from '../../support/busy-region.ts';
import { parseMetrics, seriesValue } from '../../support/prometheus.ts';

t.test('a scrape says what the region is and what its members do', async (t) => {
  const served = await serveRegion('scraped', {}, { metrics: '127.0.0.1:0' });
  t.teardown(() => served.close());
  const [a, b] = [await served.join('a'), await served.join('b')];
  const { connector, listener } = await connected(a, b, 'x');
  listener.serve(() => {});
  for (let n = 0; n < 5; n++) t.ok(connector.send(new Uint8Array(100)));
  const gone = await served.join('gone');
  await gone.close();

  const url = `http://127.0.0.1:${served.server.metricsPort}/metrics`;
  const response = await fetch(url);
  t.equal(response.status, 200);
  t.match(response.headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
  const series = parseMetrics(await response.text());
  const value = (name: string, labels = {}): number | undefined =>
    seriesValue(series, name, { region: 'scraped', ...labels });
  t.equal(value('ivshmem_region_size_bytes'), 16 << 20);
  t.equal(value('ivshmem_region_slots'), 15);
  t.equal(value('ivshmem_region_members', { state: 'active' }), 2);
  t.equal(value('ivshmem_region_members', { state: 'suspect' }), 0);
  t.equal(value('ivshmem_region_channels'), 1);
  t.ok(value('ivshmem_region_heap_free_bytes')! < value('ivshmem_region_heap_bytes')!);
  t.equal(value('ivshmem_region_joins_total'), 3);
  t.equal(value('ivshmem_region_leaves_total', { reason: 'closed' }), 1);
  t.equal(value('ivshmem_region_leaves_total', { reason: 'crashed' }), 0);
  t.equal(value('ivshmem_region_requests_total', { operation: 'connect', status: 'ok' }), 1);
  const slot = String(b.slot);
  t.equal(value('ivshmem_member_sent_messages_total', { slot }), 5);
  t.equal(value('ivshmem_member_sent_bytes_total', { slot }), 500);
  t.equal(value('ivshmem_member_channels', { slot }), 1);
  t.equal(value('ivshmem_member_answered', { slot }), 1);
  t.equal(series.filter(({ labels }) => labels.slot === slot).length, STATISTICS.length + 4);
  t.equal(value('ivshmem_member_sockets', { slot, path: 'shared-memory' }), 0);
  t.ok(seriesValue(series, 'process_resident_memory_bytes')! > 1e6);
  const known = new Set(['region', 'slot', 'state', 'reason', 'operation', 'status', 'path']);
  t.ok(
    series.every(({ labels }) => Object.keys(labels).every((label) => known.has(label))),
    'no label that members choose',
  );

  t.ok(connector.send(new Uint8Array(100)));
  const again = parseMetrics(await (await fetch(url)).text());
  t.equal(seriesValue(again, 'ivshmem_member_sent_bytes_total', { slot }), 600, 'fresh each time');
  const three = await Promise.all([fetch(url), fetch(url), fetch(url)]);
  for (const one of three) parseMetrics(await one.text());

  t.equal((await fetch(url, { method: 'POST' })).status, 405);
  t.equal((await fetch(url.replace('/metrics', '/'))).status, 404);
  t.equal(await (await fetch(url, { method: 'HEAD' })).text(), '');
});

t.test('over a UNIX socket, which goes with the server', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ivshmem-metrics-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const socketPath = join(folder, 'metrics.sock');
  const served = await serveRegion('unix', {}, { metrics: socketPath });
  const body = await new Promise<string>((resolve, reject) => {
    get({ socketPath, path: '/metrics' }, (response) => void text(response).then(resolve, reject)).on(
      'error',
      reject,
    );
  });
  t.equal(seriesValue(parseMetrics(body), 'ivshmem_region_slots', { region: 'unix' }), 15);
  await served.close();
  await new Promise((resolve) => setImmediate(resolve));
  t.notOk(existsSync(socketPath));
});

t.test('clients that say nothing or nonsense do not hold the others up', async (t) => {
  const served = await serveRegion('hostile', {}, { metrics: '127.0.0.1:0' });
  t.teardown(() => served.close());
  const { metricsPort: port } = served.server;
  const client = (words: string) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(words));
    socket.on('error', () => {});
    socket.resume();
    t.teardown(() => socket.destroy());
    return socket;
  };
  for (let n = 0; n < 4; n++) client('');
  client('GET /metrics HTTP/1.1\r\nX: ');
  const nonsense = client('\0\0\0\0\r\n\r\n');
  await new Promise((resolve) => nonsense.once('close', resolve));
  const huge = client(`GET /${'x'.repeat(1 << 20)}`);
  await new Promise((resolve) => huge.once('close', resolve));
  parseMetrics(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text());
  t.pass('served');
});

t.test('connections that cannot be accepted do not end the server', async (t) => {
  let http: Server | undefined;
  const { listen } = Server.prototype;
  t.intercept(Server.prototype, 'listen', {
    value: function (this: Server, ...args: Parameters<Server['listen']>) {
      http ??= this;
      return listen.apply(this, args);
    },
  });
  const served = await serveRegion('full', {}, { metrics: '127.0.0.1:0' });
  t.teardown(() => served.close());
  // As libuv reports it when accept fails, again and again.
  for (let n = 0; n < 3; n++)
    http!.emit('error', Object.assign(new Error('accept ENFILE'), { code: 'ENFILE' }));
  t.equal((await fetch(`http://127.0.0.1:${served.server.metricsPort}/metrics`)).status, 200);
});

t.test('an address that cannot be had', async (t) => {
  const served = await serveRegion('first', {}, { metrics: '127.0.0.1:0' });
  t.teardown(() => served.close());
  const socket = `@ivshmem-metrics-busy-${process.pid}`;
  const metrics = `127.0.0.1:${served.server.metricsPort}`;
  const config = { metrics, regions: [{ name: 'second', socket, size: '1M', slots: 2, channels: 4 }] };
  await t.rejects(createServer(config), { code: 'ERR_IVSHMEM_SERVER_METRICS', message: /EADDRINUSE/ });
  const { metrics: _, ...without } = config;
  await (await createServer(without)).close();
  for (const wrong of ['9710', 'relative.sock', '127.0.0.1:', '127.0.0.1:123456']) {
    await t.rejects(
      createServer({ ...config, metrics: wrong }),
      { code: 'ERR_IVSHMEM_SERVER_CONFIG' },
      wrong,
    );
  }
});
