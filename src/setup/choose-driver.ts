import { existsSync } from 'node:fs';
import { IvshmemError } from '../errors/index.ts';
import type { PciAddress } from '../pci/address.ts';
import type { PciFunction } from '../pci/sysfs.ts';
import { lockdownMode } from './lockdown.ts';
import { type BindDriver, driverAvailable, isBindDriver } from './modules.ts';
import type { System } from './system.ts';

export type WantedDriver = BindDriver | 'auto';

export interface DriverChoice {
  readonly driver: BindDriver;
  /** VFIO without an IOMMU must be switched on first. */
  readonly noIommu: boolean;
  readonly why: string;
}

/** Switches VFIO's mode without an IOMMU; there once `vfio` is loaded, if the kernel was built with VFIO_NOIOMMU. */
export const NOIOMMU_PARAMETER = '/sys/module/vfio/parameters/enable_unsafe_noiommu_mode';

/**
 * The driver to bind to, or the error that says exactly why it cannot be. 'auto' keeps a usable driver the device
 * already has, else takes vfio-pci where an IOMMU group allows it, else uio_pci_generic.
 */
export function chooseDriver(
  system: System,
  device: PciFunction,
  wanted: WantedDriver,
  allowNoIommu: boolean,
): DriverChoice {
  if (wanted === 'vfio-pci') return chooseVfio(system, device, allowNoIommu, 'asked for');
  if (wanted === 'uio_pci_generic') return chooseUio(system, device, 'asked for');
  if (isBindDriver(device.driver)) {
    return { driver: device.driver, noIommu: false, why: 'it has it already' };
  }
  if (!driverAvailable(system, 'vfio-pci')) return chooseUio(system, device, 'this kernel has no vfio-pci');
  if (device.iommuGroup !== undefined) {
    const sharers = groupSharers(system, device);
    if (sharers.length === 0) return chooseVfio(system, device, false, 'it has an IOMMU group of its own');
    return chooseUio(system, device, `its IOMMU group also holds ${sharers.join(', ')}`);
  }
  if (allowNoIommu) return chooseVfio(system, device, true, 'VFIO without an IOMMU was allowed');
  // Locked down, UIO is out too: then the missing IOMMU is what has to be told.
  if (lockdownMode(system) !== 'none') return chooseVfio(system, device, false, '');
  return chooseUio(system, device, 'it has no IOMMU group');
}

function chooseVfio(system: System, device: PciFunction, allowNoIommu: boolean, why: string): DriverChoice {
  const on = device.address.toString();
  const group = device.iommuGroup;
  if (group === undefined) {
    if (!allowNoIommu) throw new IvshmemError('ERR_IVSHMEM_BIND_NO_IOMMU', { on });
    return { driver: 'vfio-pci', noIommu: true, why };
  }
  const sharers = groupSharers(system, device);
  if (sharers.length > 0) {
    throw new IvshmemError('ERR_IVSHMEM_BIND_GROUP_SHARED', { on, group, others: sharers.join(', ') });
  }
  return { driver: 'vfio-pci', noIommu: false, why };
}

function chooseUio(system: System, device: PciFunction, why: string): DriverChoice {
  const mode = lockdownMode(system);
  if (mode !== 'none') {
    throw new IvshmemError('ERR_IVSHMEM_BIND_LOCKDOWN', { on: device.address.toString(), mode });
  }
  return { driver: 'uio_pci_generic', noIommu: false, why };
}

/**
 * Other functions of the device's IOMMU group whose drivers do their own DMA: with these VFIO finds the group not
 * viable. Drivers of VFIO, pci-stub, pcieport and no driver at all do no harm (driver_managed_dma in the kernel).
 */
export function groupSharers(system: System, device: PciFunction): string[] {
  const group = device.iommuGroup;
  if (group === undefined) return [];
  const harmful = (address: PciAddress): string[] => {
    if (address.equals(device.address)) return [];
    const { driver } = system.pci.function(address);
    if (driver === undefined || /vfio|^pci-stub$|^pcieport$|^shpchp$/.test(driver)) return [];
    return [`${address} (${driver})`];
  };
  return system.pci.groupMembers(group).flatMap(harmful);
}

/** Where the switch for VFIO without an IOMMU is; ERR_IVSHMEM_BIND_NOIOMMU_ABSENT when the kernel has none. */
export function noIommuParameter(system: System, device: PciFunction): string {
  const path = system.path(NOIOMMU_PARAMETER);
  if (!existsSync(path)) {
    const on = device.address.toString();
    throw new IvshmemError('ERR_IVSHMEM_BIND_NOIOMMU_ABSENT', { on, release: system.release });
  }
  return path;
}
