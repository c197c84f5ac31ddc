import { type OpenPciBackendOptions, openPciBackend } from '../backend/probe.ts';
import { IvshmemError, isIvshmemError } from '../errors/index.ts';
import { readHeader } from '../memory/header.ts';
import type { PciAddress } from '../pci/address.ts';
import { IVSHMEM_DEVICE_ID, IVSHMEM_VENDOR_ID, type PciFunction, type PciSysfs } from '../pci/sysfs.ts';

export interface Wanted {
  readonly sysfs: PciSysfs;
  readonly address: PciAddress | undefined;
  readonly region: string | undefined;
  readonly how: OpenPciBackendOptions;
}

/**
 * The one ivshmem function that is meant. ERR_IVSHMEM_DEVICE_ABSENT when none is, with what stood in the way of looking at a
 * region name as its cause; ERR_IVSHMEM_DEVICE_AMBIGUOUS when several are.
 */
export function chooseFunction({ sysfs, address, region, how }: Wanted): PciFunction {
  const obstacles: IvshmemError[] = [];
  const matching = sysfs
    .find(IVSHMEM_VENDOR_ID, IVSHMEM_DEVICE_ID)
    .filter((each) => address === undefined || each.address.equals(address))
    .filter((each) => region === undefined || regionNameOf(each, how, obstacles) === region);
  const [only, ...others] = matching;
  if (only === undefined)
    throw new IvshmemError(
      'ERR_IVSHMEM_DEVICE_ABSENT',
      { on: describe(address, region) },
      obstacles.length > 0 ? { cause: obstacles[0] } : {},
    );
  if (others.length > 0)
    throw new IvshmemError('ERR_IVSHMEM_DEVICE_AMBIGUOUS', {
      candidates: matching.map((each) => each.address.toString()).join(', '),
    });
  return only;
}

/**
 * The name in the header of a device's shared memory. Undefined for a device that cannot be looked into (another driver,
 * another process, no region of ours in it): it does not match, and the search goes on.
 */
function regionNameOf(
  device: PciFunction,
  how: OpenPciBackendOptions,
  obstacles: IvshmemError[],
): string | undefined {
  try {
    const backend = openPciBackend(device, how);
    try {
      return readHeader(backend.memory.buffer).name;
    } finally {
      backend.close();
    }
  } catch (error) {
    if (!isIvshmemError(error)) throw error;
    obstacles.push(error);
    return undefined;
  }
}

function describe(address: PciAddress | undefined, region: string | undefined): string {
  const parts = [];
  if (address !== undefined) parts.push(`at ${address}`);
  if (region !== undefined) parts.push(`with the region "${region}"`);
  return parts.length === 0 ? 'on this machine' : parts.join(' ');
}
