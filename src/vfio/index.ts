/** `ivshmem/vfio`: userspace drivers for any PCI device, over Linux VFIO. docs/vfio.md is the walk-through. */

export { PciAddress } from '../pci/address.ts';
export { type Capability, ConfigSpace } from '../pci/config-space.ts';
export { type Msix, readMsix } from '../pci/msix.ts';
export { PciSysfs } from '../pci/sysfs.ts';
export * from './constants.ts';
export { type DmaMapping, type IommuKind, type MapDmaOptions, VfioContainer } from './container.ts';
export { VfioDevice } from './device.ts';
export { DmaMemory, type DmaMemoryOptions } from './dma.ts';
export { VfioGroup } from './group.ts';
export { IovaAllocator, type IovaRange } from './iova.ts';
export { VfioIrq } from './irq.ts';
export { type OpenedPciDevice, type OpenPciOptions, openPciDevice } from './open.ts';
export { VfioRegion } from './region.ts';
export { kernel, type VfioBinding, type VfioSystem } from './system.ts';
