import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { openDevice } from '../../src/ivshmem/open.ts';
import { writeHeader } from '../../src/memory/header.ts';
import type { FakePciDevice } from '../../src/testing/fake-pci-device.ts';
import { ADDRESS, ivshmem, MEMORY_BYTES, machine } from '../vfio/support.ts';

const SECOND = '0000:00:06.0';

function two(t: Test, name?: string) {
  const devices: [FakePciDevice, FakePciDevice] = [ivshmem(t), ivshmem(t, { address: SECOND, group: 6 })];
  const all = machine(t, devices);
  if (name !== undefined)
    writeHeader(all.bar(devices[1], 2).buffer, {
      regionBytes: MEMORY_BYTES,
      slots: 4,
      vectors: 2,
      channels: 8,
      uuid: randomBytes(16),
      name,
    });
  return { ...all, options: { system: all.vfio, sysfs: all.sysfs } };
}

t.before(() => {
  delete process.env.IVSHMEM_SOCKET;
});

t.test('the only device, by itself', async (t) => {
  const { vfio: system, sysfs } = machine(t, [ivshmem(t)]);
  using device = await openDevice({ system, sysfs });
  t.match(device, { kind: 'vfio', on: ADDRESS });
});

t.test('one of several: by address, by region name, or not at all', async (t) => {
  const { options, vfio } = two(t, 'orders');
  await t.rejects(openDevice(options), {
    code: 'ERR_IVSHMEM_DEVICE_AMBIGUOUS',
    message: /0000:00:05.0, 0000:00:06.0/,
    kind: 'usage',
  });
  const byAddress = await openDevice({ ...options, address: '00:05.0' });
  t.equal(byAddress.on, ADDRESS);
  const byName = await openDevice({ ...options, region: 'orders' });
  t.equal(byName.on, SECOND, 'although the other device is in use');
  byAddress.close();
  byName.close();
  await t.rejects(openDevice({ ...options, region: 'nothing' }), {
    code: 'ERR_IVSHMEM_DEVICE_ABSENT',
    message: /"nothing"/,
  });
  await t.rejects(openDevice({ ...options, address: '00:05.0', region: 'orders' }), {
    code: 'ERR_IVSHMEM_DEVICE_ABSENT',
  });
  t.equal(vfio.openCount, 0);
});

t.test('what stood in the way is the cause', async (t) => {
  const { options, vfio } = two(t);
  vfio.failures.set('open /dev/vfio/5', 'EBUSY');
  await t.rejects(openDevice({ ...options, region: 'orders' }), {
    code: 'ERR_IVSHMEM_DEVICE_ABSENT',
    cause: { code: 'ERR_IVSHMEM_GROUP_BUSY' },
  });
});

t.test('usage errors', async (t) => {
  const { options } = two(t);
  await t.rejects(openDevice({ ...options, address: 'x' }), { code: 'ERR_IVSHMEM_PCI_ADDRESS' });
  await t.rejects(openDevice({ ...options, address: '00:1f.0' }), { code: 'ERR_IVSHMEM_DEVICE_ABSENT' });
  await t.rejects(openDevice({ backend: 'floppy' as 'vfio' }), { code: 'ERR_IVSHMEM_BACKEND' });
  await t.rejects(openDevice({ backend: 'host' }), { code: 'ERR_IVSHMEM_BACKEND', message: /socket/ });
  await t.rejects(openDevice({ ...options, backend: 'uio', address: ADDRESS }), {
    code: 'ERR_IVSHMEM_DEVICE_UNBOUND',
  });
});

t.test('IVSHMEM_SOCKET means a host process, unless an address is given', async (t) => {
  const { options } = two(t);
  process.env.IVSHMEM_SOCKET = '@ivshmem-test-nobody-listens-here';
  t.teardown(() => delete process.env.IVSHMEM_SOCKET);
  await t.rejects(openDevice(options), 'nobody listens');
  const device = await openDevice({ ...options, address: ADDRESS });
  t.equal(device.kind, 'vfio');
  device.close();
  (await openDevice({ ...options, address: ADDRESS, backend: 'vfio' })).close();
});
