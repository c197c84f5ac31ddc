import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ViewReader } from '../../src/membership/view-reader.ts';
import { binding } from '../../src/native/binding.ts';
import { RegionView } from '../../src/observe/region-view.ts';
import { connected, serveRegion } from '../support/busy-region.ts';

/** A region in a file, and the file mapped once more, read-only, as a device's memory is. */
async function seen(t: Test) {
  const folder = mkdtempSync(join('/dev/shm', 'ivshmem-view-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'region');
  const served = await serveRegion('seen', { memory: 'file', file });
  t.teardown(() => served.close());
  const fd = openSync(file, 'r');
  const mapping = binding.mapFile(fd, 0, 16 << 20, false);
  closeSync(fd);
  t.teardown(() => mapping.close());
  return { served, view: new RegionView(mapping.buffer, 'test') };
}

t.test('members, events and counters from the memory alone', async (t) => {
  const { served, view } = await seen(t);
  t.strictSame(view.members(), []);
  const a = await served.join('a', { labels: { k: 'v' } });
  const b = await served.join('b');
  const events = view.read();
  t.strictSame(
    events.filter(({ type }) => type === 'join').map(({ member }) => member.name),
    ['a', 'b'],
  );
  t.match(view.members(), [
    { slot: 1, name: 'a', labels: { k: 'v' } },
    { slot: 2, name: 'b' },
  ]);

  const { connector } = await connected(a, b, 'x');
  t.ok(connector.send(new Uint8Array(64)));
  // The server's sample has the members store what they counted.
  await served.server.regions[0]!.server.sample();
  const sample = view.sample();
  t.match(sample, {
    region: 'seen',
    slots: 16,
    freeHeapBytes: null,
    members: [{ name: 'a' }, { name: 'b' }],
  });
  t.equal(sample.members[1]!.statistics.messagesSent, 1);
  t.equal(sample.members[1]!.statistics.bytesSent, 64);
  t.match(sample.channels, [{ connector: 2, listener: 1, ended: false, forth: { messages: 1, bytes: 64 } }]);

  await b.close();
  t.match(view.read().at(-1), { type: 'leave', reason: 'closed', member: { name: 'b' } });
});

t.test('a log that is written faster than it is read is damage, and no loop without an end', async (t) => {
  const { view } = await seen(t);
  const { read } = ViewReader.prototype;
  t.teardown(() => {
    ViewReader.prototype.read = read;
  });
  let passes = 0;
  ViewReader.prototype.read = () => {
    if (passes++ > 10_000) throw new Error('it goes on and on');
    return 'more';
  };
  t.throws(() => view.read(), { code: 'ERR_IVSHMEM_MEMBERSHIP_DAMAGED' });
  t.throws(() => view.sample(), { code: 'ERR_IVSHMEM_MEMBERSHIP_DAMAGED' });
});

t.test('memory that is no region', async (t) => {
  t.throws(() => new RegionView(new ArrayBuffer(1 << 20), 'test'), { code: 'ERR_IVSHMEM_REGION_MAGIC' });
  t.throws(() => new RegionView(new ArrayBuffer(16), 'test'), { code: 'ERR_IVSHMEM_REGION_TRUNCATED' });
});
