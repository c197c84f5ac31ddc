import type { Entry } from './define.ts';

/** The VFIO binding: groups, regions, DMA. */
export const vfioErrors = {
  ERR_IVSHMEM_PCI_ADDRESS: {
    attempted: 'find the PCI device "{address}"',
    why: 'that is no PCI address',
    remedy: 'Write it as lspci does, with or without the domain: 0000:00:05.0.',
    kind: 'usage',
  },
  ERR_IVSHMEM_GROUP_ABSENT: {
    attempted: 'open the device {on}',
    why: 'it has no IOMMU group',
    remedy:
      'Boot with an IOMMU (intel_iommu=on; for a VM `-device intel-iommu,intremap=on`), or allow VFIO without one (vfio.enable_unsafe_noiommu_mode=1), or bind it to uio_pci_generic.',
    kind: 'failure',
  },
  ERR_IVSHMEM_GROUP_NOT_VIABLE: {
    attempted: 'use the VFIO group {on}',
    why: 'a device of the group is bound to a driver of the kernel',
    remedy:
      'Bind every device of the group to vfio-pci, or move the device to a PCI slot of its own (`ivshmem status` lists the group).',
    kind: 'failure',
  },
  ERR_IVSHMEM_REGION_ACCESS: {
    attempted: 'access {length} bytes at offset {offset} of {on}',
    why: 'the region has {sizeBytes} bytes and an access is aligned to its width',
    remedy: 'Use an aligned offset inside the region.',
    kind: 'usage',
  },
} as const satisfies Record<string, Entry>;
