import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { PciAddress } from '../../src/pci/address.ts';
import { PciSysfs } from '../../src/pci/sysfs.ts';
import { FakeSysfs } from '../../src/testing/fake-sysfs.ts';

const at = (text: string) => PciAddress.parse(text)!;

t.test('lists functions by id, in order, and describes them', async (t) => {
  const fake = new FakeSysfs(t.testdir(), {
    functions: {
      '0000:00:06.0': { iommuGroup: 4, memoryBytes: 4 << 20 },
      '0000:00:05.0': {},
      '0000:00:02.0': { vendorId: 0x8086, deviceId: 0x100e, iommuGroup: 4, driver: 'e1000' },
    },
  });
  const pci = new PciSysfs(join(fake.root, 'sys'));
  writeFileSync(join(fake.root, 'sys/bus/pci/devices/README'), 'no address');
  t.same(
    pci.find(0x1af4, 0x1110).map((f) => f.address.toString()),
    ['0000:00:05.0', '0000:00:06.0'],
  );
  const device = pci.function(at('00:06.0'));
  t.match(device, { exists: true, driver: undefined, iommuGroup: 4, driverOverride: undefined });
  t.same(
    device.resources().map((bar) => bar.sizeBytes),
    [256, 4096, 4 << 20, 0, 0, 0],
  );
  t.equal(device.resources()[2]!.start, 0x800000000n);
  t.equal(device.config().deviceId, 0x1110);
  t.equal(device.resourcePath(2, true).endsWith('/resource2_wc'), true);
  t.same(pci.groupMembers(4).map(String), ['0000:00:02.0', '0000:00:06.0']);
  t.same(pci.groupMembers(9), []);
  t.equal(pci.function(at('00:02.0')).driver, 'e1000');
  t.equal(pci.hasDriver('e1000'), true);
  t.equal(pci.hasDriver('vfio-pci'), false);
});

t.test('a function that is gone has no attributes', async (t) => {
  const fake = new FakeSysfs(t.testdir(), { functions: { '0000:00:05.0': { iommuGroup: 1 } } });
  const device = new PciSysfs(join(fake.root, 'sys')).function(at('00:05.0'));
  fake.unplug('0000:00:05.0');
  t.match(device, { exists: false, driver: undefined, iommuGroup: undefined, driverOverride: undefined });
  t.same(
    device.resources().map((bar) => bar.sizeBytes),
    [0],
  );
  t.same(device.uioNodes, []);
  t.ok(Number.isNaN(device.vendorId) && Number.isNaN(device.deviceId));
  t.throws(() => device.config(), { code: 'ENOENT' });
});

t.test('a machine without PCI has none; an unreadable attribute is an error', async (t) => {
  t.same(new PciSysfs(join(t.testdir(), 'sys')).find(1, 1), []);
  const root = t.testdir({
    sys: { bus: { pci: { devices: { '0000:00:05.0': { vendor: {}, driver: 'no link' } } } } },
  });
  const device = new PciSysfs(join(root, 'sys')).function(at('00:05.0'));
  t.throws(() => device.vendorId, { code: 'EISDIR' });
  t.throws(() => device.driver, { code: 'EINVAL' });
});

t.test('writes what the kernel expects', async (t) => {
  const fake = new FakeSysfs(t.testdir(), {
    functions: { '0000:00:05.0': { driver: 'old', iommuGroup: 2 } },
  });
  fake.load('vfio-pci');
  const device = new PciSysfs(join(fake.root, 'sys'), fake.write).function(at('00:05.0'));
  t.throws(() => device.setEnabled(true), { code: 'EBUSY' });
  device.setDriverOverride('vfio-pci');
  t.equal(device.driverOverride, 'vfio-pci');
  device.unbind();
  device.unbind();
  t.equal(device.driver, undefined);
  device.setEnabled(true);
  device.setEnabled(false);
  device.probe();
  t.equal(device.driver, 'vfio-pci');
  device.setDriverOverride(undefined);
  t.equal(device.driverOverride, undefined);
  device.unbind();
  device.bind('old');
  t.equal(device.driver, 'old');
  const directory = 'sys/bus/pci/devices/0000:00:05.0';
  t.same(fake.writes.slice(1), [
    `${directory}/driver_override=vfio-pci`,
    `${directory}/driver/unbind=0000:00:05.0`,
    `${directory}/enable=1`,
    `${directory}/enable=0`,
    'sys/bus/pci/drivers_probe=0000:00:05.0',
    `${directory}/driver_override=`,
    `${directory}/driver/unbind=0000:00:05.0`,
    'sys/bus/pci/drivers/old/bind=0000:00:05.0',
  ]);
});

t.test('the real writer creates nothing', async (t) => {
  const root = t.testdir({ sys: { bus: { pci: { devices: { '0000:00:05.0': { enable: '0\n' } } } } } });
  const device = new PciSysfs(join(root, 'sys')).function(at('00:05.0'));
  device.setEnabled(true);
  t.throws(() => device.setDriverOverride('vfio-pci'), { code: 'ENOENT' });
});
