import t from 'tap';
import { PciAddress } from '../../src/pci/address.ts';
import { VfioContainer } from '../../src/vfio/container.ts';
import { openPciDevice } from '../../src/vfio/open.ts';
import { ADDRESS, ivshmem, machine } from './support.ts';

const SECOND = '0000:00:06.0';

t.test('a device brings its group and container, and takes them with it', async (t) => {
  const { vfio: system, sysfs } = machine(t, [ivshmem(t)]);
  const { device, container } = openPciDevice('00:05.0', { system, sysfs });
  t.equal(device.name, ADDRESS);
  t.equal(container.iommu, 'type1v2');
  device.close();
  t.equal(system.openCount, 0);
});

t.test('two devices of one group share it', async (t) => {
  const second = ivshmem(t, { address: SECOND });
  const { vfio: system, sysfs } = machine(t, [ivshmem(t), second]);
  const one = openPciDevice(PciAddress.parse(ADDRESS)!, { system, sysfs });
  const two = openPciDevice(SECOND, { system, sysfs });
  t.equal(one.container, two.container);
  one.device.close();
  t.equal(two.device.config().deviceId, 0x1110, 'the other one is still there');
  two.device.close();
  t.equal(system.openCount, 0);
});

t.test('a container that was passed in stays open', async (t) => {
  const second = ivshmem(t, { address: SECOND, group: 6 });
  const { vfio: system, sysfs } = machine(t, [ivshmem(t), second]);
  using container = VfioContainer.open(system);
  const one = openPciDevice(ADDRESS, { system, sysfs, container });
  const two = openPciDevice(SECOND, { system, sysfs, container });
  t.equal(container.groups.length, 2);
  one.device.close();
  two.device.close();
  t.equal(container.groups.length, 0);
  t.equal(container.supports('type1'), true);
  using other = VfioContainer.open(system);
  const again = openPciDevice(ADDRESS, { system, sysfs, container });
  t.throws(() => openPciDevice(ADDRESS, { system, sysfs, container: other }), {
    code: 'ERR_IVSHMEM_GROUP_BUSY',
  });
  again.device.close();
});

t.test('what cannot be opened, and that nothing stays open', async (t) => {
  const { vfio: system, sysfs, fake } = machine(t, [ivshmem(t)]);
  fake.plug('0000:00:08.0', { driver: 'uio_pci_generic' });
  fake.plug('0000:00:09.0', { driverOverride: 'none' });
  const open = (address: string) => openPciDevice(address, { system, sysfs });
  t.throws(() => open('nonsense'), { code: 'ERR_IVSHMEM_PCI_ADDRESS', kind: 'usage' });
  t.throws(() => open('00:08.0'), { code: 'ERR_IVSHMEM_DEVICE_UNBOUND', message: /uio_pci_generic/ });
  t.throws(() => open('00:09.0'), { code: 'ERR_IVSHMEM_DEVICE_UNBOUND', message: /no driver/ });
  t.throws(() => open('00:1f.0'), { code: 'ERR_IVSHMEM_DEVICE_UNBOUND' });
  for (const call of ['vfioGroupGetDevice', 'open /dev/vfio/5', 'open /dev/vfio/vfio']) {
    system.failures.set(call, 'EIO');
    t.throws(() => open(ADDRESS), { code: 'ERR_IVSHMEM_VFIO' });
    system.failures.clear();
    t.equal(system.openCount, 0);
  }
  open(ADDRESS).device.close();
});
