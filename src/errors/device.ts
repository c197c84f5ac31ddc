import type { Entry } from './define.ts';

/** Reaching the device: addon, backend, BARs, interrupts. */
export const deviceErrors = {
  ERR_IVSHMEM_ADDON_ABSENT: {
    attempted: 'load the native addon',
    why: 'none of these could be loaded: {tried}',
    remedy:
      'Run `npm run build:native` (needs g++ and make), or install the package for linux-x64 or linux-arm64.',
    kind: 'failure',
  },
  ERR_IVSHMEM_DEVICE_ABSENT: {
    attempted: 'find an ivshmem device {on}',
    why: 'no PCI device 1af4:1110 matches',
    remedy: 'Start the VM with `-device ivshmem-doorbell` and check with `ivshmem status`.',
    kind: 'failure',
  },
  ERR_IVSHMEM_DEVICE_UNBOUND: {
    attempted: 'open the device {on}',
    why: 'it is bound to {driver}, not to vfio-pci or uio_pci_generic',
    remedy: 'Run `sudo ivshmem bind {on}`.',
    kind: 'failure',
  },
  ERR_IVSHMEM_DEVICE_AMBIGUOUS: {
    attempted: 'choose an ivshmem device',
    why: 'several match: {candidates}',
    remedy: 'Name one by its PCI address or by its region name.',
    kind: 'usage',
  },
  ERR_IVSHMEM_GROUP_BUSY: {
    attempted: 'open the VFIO group {on}',
    why: 'another process holds it',
    remedy: 'Stop the other user of the device (`fuser -v {on}`), or share its region inside that process.',
    kind: 'failure',
  },
  ERR_IVSHMEM_ACCESS_DENIED: {
    attempted: 'open {on}',
    why: 'permission denied',
    remedy:
      'Give this user access with `sudo ivshmem bind --user $USER`, or on a host ask for admission to the region.',
    kind: 'failure',
  },
  ERR_IVSHMEM_VFIO: {
    attempted: '{operation} on {on}',
    why: '{why}',
    remedy: '{hint}',
    kind: 'failure',
  },
  ERR_IVSHMEM_UIO: {
    attempted: '{operation} on {on}',
    why: '{why}',
    remedy: '{hint}',
    kind: 'failure',
  },
  ERR_IVSHMEM_BAR_ABSENT: {
    attempted: 'map BAR{bar} of {on}',
    why: 'the device has no such BAR, or the kernel found no room for it',
    remedy:
      'Check that this is an ivshmem device (`lspci -nn` shows 1af4:1110). A device that was hot-plugged needs room behind its port: give the port `pref64-reserve=` twice the size of the region.',
    kind: 'failure',
  },
  ERR_IVSHMEM_BACKEND: {
    attempted: 'open the backend "{backend}"',
    why: '{why}',
    remedy: "Use 'auto', 'vfio', 'uio' or 'host'; 'host' needs the path of the server's socket.",
    kind: 'usage',
  },
  ERR_IVSHMEM_VECTOR: {
    attempted: 'use vector {vector} of {on}',
    why: '{why}',
    remedy: 'Choose a vector from 0 to `vectors` - 1 that nobody has taken; a polled device has none.',
    kind: 'usage',
  },
  ERR_IVSHMEM_PEER: {
    attempted: 'ring vector {vector} of peer {peer}',
    why: 'peer IDs are 0 to 65535 and vectors 0 to 255',
    remedy: 'Use the ID the peer reads as its ivPosition.',
    kind: 'usage',
  },
  ERR_IVSHMEM_CLOSED: {
    attempted: '{operation}',
    why: '{on} is closed',
    remedy: 'Open it again; a closed object cannot be used.',
    kind: 'usage',
  },
  ERR_IVSHMEM_GUARDIAN: {
    attempted: 'keep a guardian for {on}',
    why: '{why}',
    remedy:
      'The member works; only its crash would be noticed late, when its slot is used again or its VM ends. Check that `guardian` lies beside the addon and may be executed (`npm run build:native`).',
    kind: 'failure',
  },
  ERR_IVSHMEM_DEVICE_REMOVED: {
    attempted: 'use the device {on}',
    why: 'it was unplugged, or somebody reset it',
    remedy: 'Open the region again; after an unplug, when the device is plugged back in.',
    kind: 'failure',
  },
} as const satisfies Record<string, Entry>;
