import { IvshmemError } from '../errors/index.ts';
import { type PciFunction, PciSysfs } from '../pci/sysfs.ts';
import type { VfioSystem } from '../vfio/system.ts';
import type { Backend, BackendKind } from './backend.ts';
import { openUio } from './uio.ts';
import { openVfio } from './vfio.ts';

export interface OpenPciBackendOptions {
  /** Insist on one; by default the bound driver decides. */
  readonly backend?: 'vfio' | 'uio';
  /** See OpenUioOptions; nothing to vfio. */
  readonly writeCombining?: boolean;
  readonly sysfs?: PciSysfs;
  readonly system?: VfioSystem;
}

/** The backend for a PCI driver's name; undefined for a driver that no backend goes with, or none. */
export function backendOf(driver: string | undefined): Exclude<BackendKind, 'host'> | undefined {
  if (driver === 'vfio-pci') return 'vfio';
  if (driver === 'uio_pci_generic') return 'uio';
  return undefined;
}

/** Opens an ivshmem device by whichever driver holds it. ERR_IVSHMEM_DEVICE_UNBOUND when none of ours does. */
export function openPciBackend(device: PciFunction, options: OpenPciBackendOptions = {}): Backend {
  const { sysfs = new PciSysfs(), system, writeCombining = false } = options;
  const { address, driver } = device;
  const kind = options.backend ?? backendOf(driver);
  if (kind === undefined)
    throw new IvshmemError('ERR_IVSHMEM_DEVICE_UNBOUND', {
      on: address.toString(),
      driver: driver ?? 'no driver',
    });
  if (kind === 'uio') return openUio(address, { sysfs, writeCombining });
  return openVfio(address, system === undefined ? { sysfs } : { sysfs, system });
}
