import t from 'tap';
import { VfioContainer } from '../../src/vfio/container.ts';
import { DmaMemory } from '../../src/vfio/dma.ts';
import { ADDRESS, ivshmem, machine } from './support.ts';

t.test('opens in the order the kernel asks for, closes in the reverse', async (t) => {
  const { vfio } = machine(t, [ivshmem(t)]);
  const container = VfioContainer.open(vfio);
  t.equal(container.iommu, undefined);
  const group = container.openGroup(5);
  t.match(group, { number: 5, path: '/dev/vfio/5', noIommu: false });
  t.equal(container.iommu, 'type1v2');
  t.same(container.groups, [group]);
  const device = group.openDevice(ADDRESS);
  t.same(group.devices, [device]);
  const dma = DmaMemory.allocate(container, 5000);
  t.equal(dma.byteLength, 8192);
  t.equal(dma.view(8, 4).byteOffset, 8);
  vfio.calls.length = 0;
  container.close();
  t.same(vfio.calls, [
    'close device',
    'vfioUnmapDma',
    'vfioGroupUnsetContainer',
    'close group',
    'close container',
  ]);
  container.close();
  group.close();
  device.close();
  dma.close();
  t.equal(vfio.calls.length, 5, 'closing again does nothing');
  t.equal(dma.buffer.byteLength, 0);
  t.throws(() => container.openGroup(5), { code: 'ERR_IVSHMEM_CLOSED' });
  t.throws(() => group.openDevice(ADDRESS), { code: 'ERR_IVSHMEM_CLOSED' });
});

t.test('close goes on behind a step that fails', async (t) => {
  const { vfio } = machine(t, [ivshmem(t)]);
  const container = VfioContainer.open(vfio);
  container.openGroup(5).openDevice(ADDRESS);
  const dma = DmaMemory.allocate(container, 4096);
  vfio.failures.set('vfioUnmapDma', 'EIO');
  t.throws(() => container.close(), { code: 'ERR_IVSHMEM_VFIO', message: /unmap/ });
  t.equal(vfio.openCount, 0, 'others can have the group');
  dma.close();
});

t.test('falls back to type1, and to no IOMMU where the group has none', async (t) => {
  const first = machine(t, [ivshmem(t)]);
  first.vfio.failures.set('extension 3', '');
  using old = VfioContainer.open(first.vfio);
  old.openGroup(5);
  t.equal(old.iommu, 'type1');
  t.equal(old.supports('noiommu'), false);

  const second = machine(t, [ivshmem(t)], { noIommu: true });
  using unsafe = VfioContainer.open(second.vfio);
  const group = unsafe.openGroup(5);
  t.equal(unsafe.iommu, 'noiommu');
  t.match(group, { noIommu: true, path: '/dev/vfio/noiommu-5' });
});

t.test('one container for several groups', async (t) => {
  const other = ivshmem(t, { address: '0000:00:06.0', group: 6 });
  const { vfio } = machine(t, [ivshmem(t), other]);
  using container = VfioContainer.open(vfio);
  container.openGroup(5);
  const group = container.openGroup(6);
  t.equal(vfio.calls.filter((call) => call.startsWith('vfioSetIommu')).length, 1);
  group.openDevice('0000:00:06.0');
  group.close();
  t.equal(container.groups.length, 1);
});

t.test('every failure on the way is catalogued and leaves nothing open', async (t) => {
  const cases: [string, string, string, RegExp][] = [
    ['open /dev/vfio/vfio', 'ENOENT', 'ERR_IVSHMEM_VFIO', /modprobe vfio-pci/],
    ['open /dev/vfio/vfio', 'EACCES', 'ERR_IVSHMEM_ACCESS_DENIED', /vfio/],
    ['vfioApiVersion', 'EIO', 'ERR_IVSHMEM_VFIO', /API version/],
    ['version', '', 'ERR_IVSHMEM_VFIO', /version is 1/],
    ['open /dev/vfio/5', 'EBUSY', 'ERR_IVSHMEM_GROUP_BUSY', /another process/],
    ['open /dev/vfio/5', 'EACCES', 'ERR_IVSHMEM_ACCESS_DENIED', /bind --user/],
    ['open /dev/vfio/5', 'EPERM', 'ERR_IVSHMEM_VFIO', /CAP_SYS_RAWIO/],
    ['open /dev/vfio/5', 'ENOENT', 'ERR_IVSHMEM_VFIO', /ivshmem bind/],
    ['vfioGroupStatus', 'EIO', 'ERR_IVSHMEM_VFIO', /status/],
    ['vfioGroupSetContainer', 'EINVAL', 'ERR_IVSHMEM_VFIO', /container/],
    ['vfioCheckExtension', 'EIO', 'ERR_IVSHMEM_VFIO', /extension/],
    ['vfioSetIommu', 'EPERM', 'ERR_IVSHMEM_VFIO', /IOMMU model/],
    ['vfioGroupGetDevice', 'ENODEV', 'ERR_IVSHMEM_VFIO', /bound to vfio-pci/],
    ['vfioDeviceInfo', 'EIO', 'ERR_IVSHMEM_VFIO', /device information/],
    ['not PCI', '', 'ERR_IVSHMEM_VFIO', /not a PCI device/],
  ];
  for (const [call, errno, code, message] of cases) {
    const { vfio } = machine(t, [ivshmem(t)]);
    vfio.failures.set(call, errno);
    t.throws(
      () => {
        using container = VfioContainer.open(vfio);
        container.openGroup(5).openDevice(ADDRESS);
      },
      { code, message },
      `${call} ${errno}`,
    );
    t.equal(vfio.openCount, 0, `${call} ${errno}: nothing stays open`);
  }
  const blocked = machine(t, [ivshmem(t)], { notViable: [5] });
  using container = VfioContainer.open(blocked.vfio);
  t.throws(() => container.openGroup(5), { code: 'ERR_IVSHMEM_GROUP_NOT_VIABLE' });
  t.equal(blocked.vfio.openCount, 1);
  const bare = machine(t, [ivshmem(t)]);
  bare.vfio.failures.set('extension 1', '').set('extension 3', '');
  using without = VfioContainer.open(bare.vfio);
  t.throws(() => without.openGroup(5), { code: 'ERR_IVSHMEM_VFIO', message: /type1v2, type1/ });
});

t.test('a failing step does not keep close from closing the rest', async (t) => {
  const { vfio } = machine(t, [ivshmem(t)]);
  const container = VfioContainer.open(vfio);
  container.openGroup(5);
  vfio.failures.set('vfioGroupUnsetContainer', 'EBUSY');
  t.throws(() => container.close(), { code: 'ERR_IVSHMEM_VFIO' });
  t.equal(vfio.openCount, 0);
});

t.test('DMA: chosen, free and reserved addresses, and what the kernel refuses', async (t) => {
  const { vfio } = machine(t, [ivshmem(t)], {
    reservedRegions: {
      5: '0x0000000000000000 0x00000000001fffff direct\n0x00000000fee00000 0x00000000feefffff msi\n',
    },
  });
  using container = VfioContainer.open(vfio);
  container.openGroup(5);
  t.equal(container.iova.allocate(4096), 0x200000, 'above the reserved range');

  vfio.failures.set('vfioMapDma', 'ENOMEM');
  t.throws(() => DmaMemory.allocate(container, 4096), { code: 'ERR_IVSHMEM_VFIO', remedy: /ulimit -l/ });
  t.equal(container.iova.allocate(4096), 0x201000, 'a failed mapping gives its address back');
  vfio.failures.set('mapAnonymous', 'ENOMEM');
  t.throws(() => DmaMemory.allocate(container, 4096, { hugePages: true }), { code: 'ERR_IVSHMEM_VFIO' });
  vfio.failures.clear();
  t.throws(() => DmaMemory.allocate(container, 4096, { iova: 0xfee00000 }), { message: /0xfee00000/ });
  t.throws(() => DmaMemory.allocate(container, 4096, { below: 4096 }), {
    message: /no I\/O virtual addresses/,
  });
});
