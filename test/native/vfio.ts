import { closeSync, openSync } from 'node:fs';
import t from 'tap';
import { binding } from '../../src/native/binding.ts';

t.test('every VFIO call on a descriptor of something else says which ioctl the kernel refused', async (t) => {
  const fd = openSync('/dev/null', 'r+');
  const mapping = binding.mapAnonymous(4096, false);
  const calls: Record<string, () => unknown> = {
    VFIO_GET_API_VERSION: () => binding.vfioApiVersion(fd),
    VFIO_CHECK_EXTENSION: () => binding.vfioCheckExtension(fd, 1),
    VFIO_SET_IOMMU: () => binding.vfioSetIommu(fd, 1),
    VFIO_GROUP_GET_STATUS: () => binding.vfioGroupStatus(fd),
    VFIO_GROUP_SET_CONTAINER: () => binding.vfioGroupSetContainer(fd, fd),
    VFIO_GROUP_UNSET_CONTAINER: () => binding.vfioGroupUnsetContainer(fd),
    VFIO_GROUP_GET_DEVICE_FD: () => binding.vfioGroupGetDevice(fd, '0000:00:00.0'),
    VFIO_DEVICE_GET_INFO: () => binding.vfioDeviceInfo(fd),
    VFIO_DEVICE_GET_REGION_INFO: () => binding.vfioRegionInfo(fd, 0),
    VFIO_DEVICE_GET_IRQ_INFO: () => binding.vfioIrqInfo(fd, 0),
    VFIO_DEVICE_SET_IRQS: () => binding.vfioSetIrqEventfds(fd, 2, 0, [fd, -1]),
    VFIO_DEVICE_RESET: () => binding.vfioDeviceReset(fd),
    VFIO_IOMMU_MAP_DMA: () => binding.vfioMapDma(fd, mapping, 0, 4096, 0x10000, true, true),
    VFIO_IOMMU_UNMAP_DMA: () => binding.vfioUnmapDma(fd, 0x10000, 4096),
  };
  for (const [syscall, call] of Object.entries(calls)) t.throws(call, { code: 'ENOTTY', errno: 25, syscall });
  t.throws(() => binding.vfioDisableIrqs(fd, 2), { code: 'ENOTTY', syscall: 'VFIO_DEVICE_SET_IRQS' });
  t.throws(() => binding.vfioUnmaskIrq(fd, 2), { code: 'ENOTTY', syscall: 'VFIO_DEVICE_SET_IRQS' });
  closeSync(fd);
  for (const [syscall, call] of Object.entries(calls)) t.throws(call, { code: 'EBADF', errno: 9, syscall });
  t.throws(() => binding.vfioMapDma(fd, mapping, 1, 4096, 0, true, true), RangeError);
  t.throws(() => binding.vfioMapDma(fd, {} as never, 0, 4096, 0, true, true), TypeError);
  mapping.close();
  t.throws(() => binding.vfioMapDma(fd, mapping, 0, 4096, 0, true, true), { code: 'EBADF' });
});
