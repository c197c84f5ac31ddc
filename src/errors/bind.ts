import type { Entry } from './define.ts';

/** Giving a device to vfio-pci or uio_pci_generic and taking it back. */
export const bindErrors = {
  ERR_IVSHMEM_BIND_NOT_ROOT: {
    attempted: '{action}',
    why: 'only root may change which driver a PCI device has',
    remedy: 'Run it again with sudo, or look first with --dry-run.',
    kind: 'failure',
  },
  ERR_IVSHMEM_BIND_NO_IOMMU: {
    attempted: 'bind {on} to vfio-pci',
    why: 'the device has no IOMMU group',
    remedy:
      'Give the VM an IOMMU (`-machine q35 -device intel-iommu,intremap=on`, with KVM also kernel-irqchip=split) and boot it with intel_iommu=on; or use --no-iommu where the kernel has VFIO_NOIOMMU; or use --driver uio_pci_generic (polled).',
    kind: 'failure',
  },
  ERR_IVSHMEM_BIND_NOIOMMU_ABSENT: {
    attempted: 'bind {on} to vfio-pci without an IOMMU',
    why: 'this kernel ({release}) is built without VFIO_NOIOMMU',
    remedy: 'Give the VM an IOMMU and boot it with intel_iommu=on, or use --driver uio_pci_generic (polled).',
    kind: 'failure',
  },
  ERR_IVSHMEM_BIND_MODULE_ABSENT: {
    attempted: 'load the kernel module {module}',
    why: 'kernel {release} does not have it or refuses it ({why})',
    remedy:
      'Install the full kernel package of the distribution (cloud and minimal flavours leave modules out; after a kernel update, reboot), or choose the other driver with --driver.',
    kind: 'failure',
  },
  ERR_IVSHMEM_BIND_LOCKDOWN: {
    attempted: 'bind {on} to uio_pci_generic',
    why: 'the kernel is locked down ({mode}), so the BARs cannot be mapped through sysfs',
    remedy:
      'Use --driver vfio-pci with an IOMMU, or boot without lockdown (Secure Boot off, no lockdown= on the kernel command line).',
    kind: 'failure',
  },
  ERR_IVSHMEM_BIND_FOREIGN_DRIVER: {
    attempted: '{action} {on}',
    why: 'it was given to the driver {driver} by someone else',
    remedy: 'Stop what uses {driver}, then repeat with --force.',
    kind: 'failure',
  },
  ERR_IVSHMEM_BIND_GROUP_SHARED: {
    attempted: 'bind {on} to vfio-pci',
    why: 'IOMMU group {group} also holds {others}, which other drivers use',
    remedy:
      'Plug the ivshmem device into a root port or bus of its own so that it gets a group of its own, or bind the others to vfio-pci too.',
    kind: 'failure',
  },
  ERR_IVSHMEM_BIND_IN_USE: {
    attempted: 'take {on} from its driver {driver}',
    why: 'it is open in {holders}',
    remedy: 'Stop these processes first; the kernel would block until they close the device.',
    kind: 'failure',
  },
  ERR_IVSHMEM_BIND_UNKNOWN_USER: {
    attempted: 'give access to {user}',
    why: 'there is no such user',
    remedy: 'Name a user that `getent passwd` knows, or a numeric user id.',
    kind: 'usage',
  },
  ERR_IVSHMEM_BIND_REFUSED: {
    attempted: 'bind {on} to {driver}',
    why: 'the kernel did not accept it ({why})',
    remedy: 'The reason is at the end of the kernel log (`dmesg`).',
    kind: 'failure',
  },
  ERR_IVSHMEM_BIND_STEP: {
    attempted: '{step}',
    why: '{why}',
    remedy: 'Everything done before was taken back. `ivshmem doctor` tells what is missing.',
    kind: 'failure',
  },
  ERR_IVSHMEM_BIND_LEFTOVER: {
    attempted: 'restore {on}',
    why: 'these steps failed: {left}',
    remedy: 'Remove the cause and run `ivshmem unbind {on}` again; what is left to do is kept in {state}.',
    kind: 'failure',
  },
  ERR_IVSHMEM_BIND_STATE: {
    attempted: 'read what `ivshmem bind` recorded in {path}',
    why: '{why}',
    remedy: 'Remove the file and run `ivshmem unbind --force {on}`.',
    kind: 'failure',
  },
  ERR_IVSHMEM_BIND_PERSIST: {
    attempted: 'make the binding survive a reboot',
    why: '{why}',
    remedy: 'Have your own init run `ivshmem bind` with the same options at boot.',
    kind: 'failure',
  },
} as const satisfies Record<string, Entry>;
