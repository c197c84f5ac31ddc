import { IvshmemError } from '../errors/index.ts';

/** What to do about an errno of a VFIO call, where the same errno means the same for all of them. */
const hints: Readonly<Record<string, string>> = {
  ENOENT: 'Load the module with `sudo modprobe vfio-pci` and bind the device with `sudo ivshmem bind`.',
  ENODEV: 'Check that the device is plugged in and bound to vfio-pci (`ivshmem status`).',
  ENOMEM: 'Raise the limit of locked memory (`ulimit -l`, or LimitMEMLOCK= in a systemd unit).',
  EPERM: 'Give the process CAP_SYS_RAWIO, which VFIO without an IOMMU asks for.',
  EINVAL: 'Bind every device of the IOMMU group to vfio-pci (`ivshmem status` lists them).',
  EIO: 'Check that the device is still plugged in.',
  EEXIST: 'Choose another I/O virtual address: this one is mapped already.',
};

/** Turns an error of the kernel into the catalogued one. `operation` is a verb phrase, `on` a path or PCI address. */
export function vfioFault(operation: string, on: string, cause: unknown): IvshmemError {
  const { code = 'unknown', message } = cause as NodeJS.ErrnoException;
  if (code === 'EACCES') return new IvshmemError('ERR_IVSHMEM_ACCESS_DENIED', { on }, { cause });
  const hint = hints[code] ?? 'See docs/troubleshooting.md.';
  return new IvshmemError('ERR_IVSHMEM_VFIO', { operation, on, why: message, hint }, { cause });
}

/** Runs one kernel call; its error leaves as the catalogued one. */
export function attempt<T>(operation: string, on: string, call: () => T): T {
  try {
    return call();
  } catch (cause) {
    throw vfioFault(operation, on, cause);
  }
}

export function closedFault(operation: string, on: string): IvshmemError {
  return new IvshmemError('ERR_IVSHMEM_CLOSED', { operation, on });
}
