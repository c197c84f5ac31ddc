import { IvshmemError } from '../errors/index.ts';
import { PciAddress } from '../pci/address.ts';
import { IVSHMEM_DEVICE_ID, IVSHMEM_VENDOR_ID, type PciFunction } from '../pci/sysfs.ts';
import { peekRegion, type RegionPeek } from './region-peek.ts';
import type { System } from './system.ts';

export type Peek = (device: PciFunction) => Promise<RegionPeek>;

export function ivshmemDevices(system: System): PciFunction[] {
  return system.pci.find(IVSHMEM_VENDOR_ID, IVSHMEM_DEVICE_ID);
}

/**
 * The devices a command line means: PCI addresses or region names; none means the only device, or with `all` every
 * one. ERR_IVSHMEM_DEVICE_ABSENT when something matches nothing, ERR_IVSHMEM_DEVICE_AMBIGUOUS when a choice is open.
 */
export async function selectDevices(
  system: System,
  selectors: readonly string[],
  all = false,
  peek: Peek = peekRegion,
): Promise<PciFunction[]> {
  const devices = ivshmemDevices(system);
  if (selectors.length === 0) {
    if (devices.length === 0) throw new IvshmemError('ERR_IVSHMEM_DEVICE_ABSENT', { on: 'in this machine' });
    if (devices.length > 1 && !all) throw ambiguous(devices);
    return devices;
  }
  const chosen = new Map<string, PciFunction>();
  for (const selector of selectors) {
    const device = await selectOne(devices, selector, peek);
    chosen.set(device.address.toString(), device);
  }
  return [...chosen.values()];
}

async function selectOne(devices: PciFunction[], selector: string, peek: Peek): Promise<PciFunction> {
  const address = PciAddress.parse(selector);
  if (address !== undefined) {
    const found = devices.find((device) => device.address.equals(address));
    if (found === undefined) throw new IvshmemError('ERR_IVSHMEM_DEVICE_ABSENT', { on: `at ${address}` });
    return found;
  }
  const named: PciFunction[] = [];
  const others: string[] = [];
  for (const device of devices) {
    const region = await peek(device);
    if ('name' in region && region.name === selector) named.push(device);
    else others.push(`${device.address}: ${'name' in region ? `"${region.name}"` : region.why}`);
  }
  if (named.length > 1) throw ambiguous(named);
  if (named[0] !== undefined) return named[0];
  const seen = others.length === 0 ? 'there is none at all' : others.join('; ');
  throw new IvshmemError('ERR_IVSHMEM_DEVICE_ABSENT', {
    on: `whose region is called "${selector}" (${seen})`,
  });
}

function ambiguous(devices: readonly PciFunction[]): IvshmemError {
  const candidates = devices.map((device) => device.address.toString()).join(', ');
  return new IvshmemError('ERR_IVSHMEM_DEVICE_AMBIGUOUS', { candidates });
}
