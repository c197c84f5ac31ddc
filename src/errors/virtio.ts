import type { Entry } from './define.ts';

/** virtio-pci devices driven from here. */
export const virtioErrors = {
  ERR_IVSHMEM_VIRTIO_DEVICE: {
    attempted: 'drive {on} as a virtio device',
    why: '{why}',
    remedy:
      'Check the device with `lspci -vv`; QEMU needs `disable-legacy=on` and a driver here for its type.',
    kind: 'failure',
  },
  ERR_IVSHMEM_VIRTIO_FEATURES: {
    attempted: 'negotiate features with {on}',
    why: '{why}',
    remedy:
      'Start QEMU with `packed=on,iommu_platform=on,disable-legacy=on` on this device, behind an IOMMU.',
    kind: 'failure',
  },
  ERR_IVSHMEM_VIRTIO_BROKEN: {
    attempted: 'use the virtio device {on}',
    why: '{why}',
    remedy: 'Close it and open it again, which resets the device.',
    kind: 'failure',
  },
  ERR_IVSHMEM_BLK_RANGE: {
    attempted: '{operation} {count} sectors from sector {sector}',
    why: 'the disk has {capacity} sectors of 512 bytes',
    remedy: 'Stay within `capacity` and use whole sectors.',
    kind: 'usage',
  },
  ERR_IVSHMEM_BLK_STATUS: {
    attempted: '{operation} at sector {sector} of {on}',
    why: 'the device answered {status}',
    remedy: 'Look at the log of the hypervisor: the disk or its image refused the request.',
    kind: 'failure',
  },
} as const satisfies Record<string, Entry>;
