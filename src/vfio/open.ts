import { IvshmemError } from '../errors/index.ts';
import { PciAddress } from '../pci/address.ts';
import { PciSysfs } from '../pci/sysfs.ts';
import { VfioContainer } from './container.ts';
import type { VfioDevice } from './device.ts';
import type { VfioGroup } from './group.ts';
import { kernel, type VfioSystem } from './system.ts';

export interface OpenPciOptions {
  /** Use this container instead of a new one: devices in it share one I/O address space. It stays open. */
  readonly container?: VfioContainer;
  readonly system?: VfioSystem;
  readonly sysfs?: PciSysfs;
}

export interface OpenedPciDevice {
  readonly device: VfioDevice;
  readonly container: VfioContainer;
}

interface Holding {
  readonly container: VfioContainer;
  readonly group: VfioGroup;
  /** False when the caller passed the container in: then it is the caller's to close. */
  readonly ownsContainer: boolean;
  users: number;
}

/** The groups this process holds through openPciDevice: the kernel gives a group out once, its devices share it. */
const holdings = new WeakMap<VfioSystem, Map<number, Holding>>();

/**
 * Opens the PCI device at `address` ("0000:00:05.0") for this process, with its IOMMU group and a container. Closing the device
 * gives them back, except for a container that was passed in. A second device of a group this process holds joins
 * the container that group is in.
 *
 * ERR_IVSHMEM_PCI_ADDRESS: not an address. ERR_IVSHMEM_DEVICE_UNBOUND: another driver has it. ERR_IVSHMEM_GROUP_BUSY,
 * ERR_IVSHMEM_ACCESS_DENIED, ERR_IVSHMEM_VFIO: see VfioGroup.
 */
export function openPciDevice(address: string | PciAddress, options: OpenPciOptions = {}): OpenedPciDevice {
  const system = options.system ?? kernel;
  const parsed = typeof address === 'string' ? PciAddress.parse(address) : address;
  if (parsed === undefined) throw new IvshmemError('ERR_IVSHMEM_PCI_ADDRESS', { address: String(address) });
  const on = parsed.toString();
  const { driver = 'no driver', iommuGroup } = (options.sysfs ?? new PciSysfs()).function(parsed);
  if (driver !== 'vfio-pci') throw new IvshmemError('ERR_IVSHMEM_DEVICE_UNBOUND', { on, driver });
  if (iommuGroup === undefined) throw new IvshmemError('ERR_IVSHMEM_GROUP_ABSENT', { on });

  const holding = hold(system, iommuGroup, options.container);
  try {
    const device = holding.group.openDevice(on);
    device.onClose(() => letGo(system, holding));
    return { device, container: holding.container };
  } catch (error) {
    letGo(system, holding);
    throw error;
  }
}

function hold(system: VfioSystem, number: number, given: VfioContainer | undefined): Holding {
  let groups = holdings.get(system);
  if (groups === undefined) {
    groups = new Map();
    holdings.set(system, groups);
  }
  const known = groups.get(number);
  if (known !== undefined && (given === undefined || given === known.container)) {
    known.users++;
    return known;
  }
  const container = given ?? VfioContainer.open(system);
  try {
    const holding = {
      container,
      group: container.openGroup(number),
      ownsContainer: given === undefined,
      users: 1,
    };
    groups.set(number, holding);
    return holding;
  } catch (error) {
    if (given === undefined) container.close();
    throw error;
  }
}

function letGo(system: VfioSystem, holding: Holding): void {
  if (--holding.users > 0) return;
  holdings.get(system)?.delete(holding.group.number);
  holding.group.close();
  if (holding.ownsContainer) holding.container.close();
}
