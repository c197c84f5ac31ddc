import { join } from 'node:path';
import type { Test } from 'tap';
import { PciSysfs } from '../../src/pci/sysfs.ts';
import { FakeSysfs } from '../../src/testing/fake-sysfs.ts';
import { FakeVfio } from '../../src/testing/fake-vfio.ts';
import { FakeVirtio, type FakeVirtioOptions } from '../../src/testing/fake-virtio.ts';
import type { OpenPciOptions } from '../../src/vfio/open.ts';

export const ADDRESS = '0000:00:07.0';

export interface Machine {
  readonly device: FakeVirtio;
  readonly vfio: FakeVfio;
  readonly options: Required<Omit<OpenPciOptions, 'container'>>;
}

/** A machine with one virtio device bound to vfio-pci; `noIommu` leaves the IOMMU out. */
export function machine(
  t: Test,
  describe: Omit<FakeVirtioOptions, 'address' | 'group' | 'memory'>,
  noIommu = false,
): Machine {
  const device: FakeVirtio = new FakeVirtio({
    ...describe,
    address: ADDRESS,
    group: 7,
    memory: () => vfio.memory.buffer,
  });
  const vfio = new FakeVfio([device.pci], { noIommu });
  const functions = { [ADDRESS]: { driver: 'vfio-pci', iommuGroup: 7 } };
  const sysfs = new PciSysfs(join(new FakeSysfs(t.testdir(), { functions }).root, 'sys'));
  t.teardown(() => vfio.memory.close());
  return { device, vfio, options: { system: vfio, sysfs } };
}
