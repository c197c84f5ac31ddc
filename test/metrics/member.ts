import { Counter, Registry } from 'prom-client';
import t from 'tap';
import { metrics } from '../../src/metrics/index.ts';
import { connected, serveRegion } from '../support/busy-region.ts';
import { parseMetrics, seriesValue } from '../support/prometheus.ts';

t.test('what a member counts', async (t) => {
  const served = await serveRegion('metrics');
  t.teardown(() => served.close());
  const [a, b] = [await served.join('a'), await served.join('quo"te\\')];
  const { connector, listener } = await connected(a, b, 'x');
  for (let n = 0; n < 3; n++) t.ok(connector.send(new Uint8Array(10)));
  for (let n = 0; n < 3; n++) listener.release((await listener.next())!);

  const registry = metrics(b);
  t.equal(metrics(a, registry), registry, 'two regions in one registry');
  const series = parseMetrics(await registry.metrics());
  const labels = { region: 'metrics', member: 'quo"te\\' };
  t.equal(seriesValue(series, 'ivshmem_member_sent_messages_total', labels), 3);
  t.equal(seriesValue(series, 'ivshmem_member_sent_bytes_total', labels), 30);
  t.equal(seriesValue(series, 'ivshmem_member_received_messages_total', { member: 'a' }), 3);
  t.equal(seriesValue(series, 'ivshmem_member_channels', labels), 1);

  t.ok(connector.send(new Uint8Array(10)));
  const later = parseMetrics(await registry.metrics());
  t.equal(seriesValue(later, 'ivshmem_member_sent_bytes_total', labels), 40, 'of when they are asked for');

  await b.close();
  const last = parseMetrics(await registry.metrics());
  t.equal(
    seriesValue(last, 'ivshmem_member_sent_bytes_total', labels),
    undefined,
    'a region that was closed is not there',
  );
  t.equal(seriesValue(last, 'ivshmem_member_received_bytes_total', { member: 'a' }), 30);
});

t.test("into the program's own registry", async (t) => {
  const served = await serveRegion('metrics');
  t.teardown(() => served.close());
  const registry = new Registry();
  new Counter({ name: 'mine_total', help: 'Mine', registers: [registry] }).inc();
  const series = parseMetrics(await metrics(await served.join('a'), registry).metrics());
  t.equal(seriesValue(series, 'mine_total'), 1);
  t.equal(seriesValue(series, 'ivshmem_member_sent_messages_total', { member: 'a' }), 0);
});
