import { mkdtempSync, rmSync, symlinkSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openDeviceSource } from '../../../src/cli/region/device-source.ts';
import type { Source, Update } from '../../../src/cli/region/source.ts';
import type { FakeFunction } from '../../../src/testing/fake-sysfs.ts';
import { ADDRESS, machine, SECOND } from '../../setup/fixtures/machine.ts';
import { serveRegion } from '../../support/busy-region.ts';

const REGION_BYTES = 16 << 20;

/** A region that a server serves from a file, and a machine whose device has this file as its memory. */
async function scene(t: Test, description: FakeFunction = {}, uid = 0) {
  const folder = mkdtempSync(join('/dev/shm', 'ivshmem-source-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'region');
  const served = await serveRegion('seen', { memory: 'file', file, size: REGION_BYTES });
  t.teardown(() => served.close());
  const m = machine(t, { functions: { [ADDRESS]: { memoryBytes: REGION_BYTES, ...description } } }, { uid });
  const bar = m.device().resourcePath(2);
  rmSync(bar);
  symlinkSync(file, bar);
  const enabled = () =>
    m.fake.writes.filter((write) => /\/enable=/.test(write)).map((write) => write.slice(-1));
  return { served, m, bar, enabled };
}

async function opened(t: Test, ...words: Parameters<typeof openDeviceSource>): Promise<Source> {
  const source = (await openDeviceSource(...words))!;
  t.teardown(() => source.close());
  return source;
}

t.test('no device is no source, unless one was asked for', async (t) => {
  const m = machine(t, { functions: {} });
  t.equal(await openDeviceSource(undefined, m.system), null);
  await t.rejects(openDeviceSource(ADDRESS, m.system), { code: 'ERR_IVSHMEM_DEVICE_ABSENT' });
  const two = machine(t, { functions: { [ADDRESS]: {}, [SECOND]: {} } });
  await t.rejects(openDeviceSource(undefined, two.system), { code: 'ERR_IVSHMEM_DEVICE_AMBIGUOUS' });
});

t.test('the memory of a device without a driver is enabled while it is looked at', async (t) => {
  const { served, m, enabled } = await scene(t);
  const source = await opened(t, undefined, m.system);
  t.match(source.note, /nobody rings for this command/);
  t.match(await source.members(), { region: 'seen', members: [] });
  await served.join('a', { labels: { k: 'v' } });
  t.match(await source.members(), {
    region: 'seen',
    members: [{ slot: 1, name: 'a', state: 'active', backend: 'host', labels: { k: 'v' } }],
  });
  t.match(await source.sample(), { region: 'seen', slots: 16, members: [{ name: 'a' }], channels: [] });
  t.strictSame(await source.spaces(), { region: 'seen', spaces: [] });
  t.strictSame(enabled(), ['1']);
  source.close();
  source.close();
  t.strictSame(enabled(), ['1', '0'], 'the kernel counts: once');
});

t.test('updates come by looking, and end with the source', async (t) => {
  const { served, m } = await scene(t);
  const source = await opened(t, ADDRESS, m.system);
  const updates = source.updates()[Symbol.asyncIterator]();
  const next = async (): Promise<Update> => (await updates.next()).value as Update;
  t.match(await next(), { event: 'members', region: 'seen', members: [] });
  const a = await served.join('a');
  t.match(await next(), { event: 'join', member: { slot: 1, name: 'a' } });
  await a.close({ reason: 'migrated' });
  t.match(await next(), { event: 'leave', reason: 'migrated', member: { slot: 1, name: 'a' } });
  const last = updates.next();
  source.close();
  t.match(await last, { done: true });
});

t.test('a region is found by its name', async (t) => {
  const { m } = await scene(t);
  t.match(await (await opened(t, 'seen', m.system)).members(), { region: 'seen' });
  await t.rejects(openDeviceSource('other', m.system), { code: 'ERR_IVSHMEM_DEVICE_ABSENT' });
});

t.test('under a driver nothing is taken back, and without rights nothing is enabled', async (t) => {
  const bound = await scene(t, { driver: 'uio_pci_generic' });
  (await opened(t, undefined, bound.m.system)).close();
  t.strictSame(bound.enabled(), []);
  t.equal(bound.m.device().config().memorySpace, true);
  const plain = await scene(t, {}, 1000);
  t.match(await (await opened(t, undefined, plain.m.system)).members(), { region: 'seen' });
  t.strictSame(plain.enabled(), []);
});

t.test('a driver that came meanwhile, and a device that went', async (t) => {
  for (const code of ['EBUSY', 'ENODEV', 'ENOENT']) {
    const { m } = await scene(t);
    const source = await opened(t, undefined, m.system);
    m.fake.failWrites('/enable', code);
    t.doesNotThrow(() => source.close(), code);
  }
  const { m } = await scene(t);
  const source = await opened(t, undefined, m.system);
  m.fake.failWrites('/enable', 'EIO');
  t.throws(() => source.close(), { code: 'EIO' });
});

t.test('memory that is hidden, or is no region', async (t) => {
  const { m, bar, enabled } = await scene(t);
  rmSync(bar);
  await t.rejects(openDeviceSource(undefined, m.system), {
    code: 'ERR_IVSHMEM_MEMBERS_HIDDEN',
    message: /its memory cannot be mapped[\s\S]*ivshmem members --socket/,
    cause: { code: 'ENOENT' },
  });
  t.strictSame(enabled(), ['1', '0'], 'taken back');
  const foreign = machine(t, { functions: { [ADDRESS]: { memoryBytes: 1 << 20 } } });
  truncateSync(foreign.device().resourcePath(2), 1 << 20);
  await t.rejects(openDeviceSource(undefined, foreign.system), { code: 'ERR_IVSHMEM_REGION_MAGIC' });
});
