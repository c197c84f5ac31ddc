import { join } from 'node:path';
import type { Test } from 'tap';
import { binding, type Mapping } from '../../src/native/binding.ts';
import { PciSysfs } from '../../src/pci/sysfs.ts';
import { FakePciDevice, type FakePciDeviceOptions, memoryBar } from '../../src/testing/fake-pci-device.ts';
import { FakeSysfs } from '../../src/testing/fake-sysfs.ts';
import { FakeVfio, type FakeVfioOptions } from '../../src/testing/fake-vfio.ts';

export const ADDRESS = '0000:00:05.0';
export const MEMORY_BYTES = 1 << 20;

export interface Machine {
  readonly vfio: FakeVfio;
  readonly sysfs: PciSysfs;
  readonly fake: FakeSysfs;
  /** Looks at a BAR from the device's side. */
  bar(device: FakePciDevice, index: number): Mapping;
}

/** An ivshmem-doorbell device with two vectors, BARs that can be mapped. */
export function ivshmem(t: Test, options: Partial<FakePciDeviceOptions> = {}): FakePciDevice {
  const device = new FakePciDevice({
    address: ADDRESS,
    group: 5,
    vendorId: 0x1af4,
    deviceId: 0x1110,
    bars: [memoryBar(256), undefined, memoryBar(MEMORY_BYTES)],
    vectors: 2,
    ...options,
  });
  t.teardown(() => device.close());
  return device;
}

/** A machine with these devices bound to vfio-pci. */
export function machine(t: Test, devices: readonly FakePciDevice[], options: FakeVfioOptions = {}): Machine {
  const vfio = new FakeVfio(devices, options);
  t.teardown(() => vfio.memory.close());
  const functions = Object.fromEntries(
    devices.map(({ address, group }) => [address, { driver: 'vfio-pci', iommuGroup: group }]),
  );
  const fake = new FakeSysfs(t.testdir(), { functions });
  return {
    vfio,
    fake,
    sysfs: new PciSysfs(join(fake.root, 'sys'), fake.write),
    bar: (device, index) => {
      const { memfd, sizeBytes } = device.bars[index]!;
      const mapping = binding.mapFile(memfd!, 0, Math.ceil(sizeBytes / 4096) * 4096, true);
      t.teardown(() => mapping.close());
      return mapping;
    },
  };
}
