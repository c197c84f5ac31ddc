import { hostname } from 'node:os';
import { type OpenDeviceOptions, openDevice } from '../ivshmem/open.ts';
import { Region, type RegionOptions } from './region.ts';

/** Which device, and how to behave in its region. */
export type OpenOptions = OpenDeviceOptions & Partial<RegionOptions>;

/**
 * Opens the ivshmem device of this machine, or with `socket` (or IVSHMEM_SOCKET) becomes a peer of a server on this host, and
 * joins the region behind it. The name is the host's name and the process ID unless given.
 */
export async function open(options: OpenOptions = {}): Promise<Region> {
  const ownName = `${hostname()}-${process.pid}`.slice(-32);
  const { name = ownName, wait, maxMessageBytes, addresses, labels, ...device } = options;
  const regionOptions: RegionOptions = {
    name,
    ...(wait === undefined ? {} : { wait }),
    ...(maxMessageBytes === undefined ? {} : { maxMessageBytes }),
    ...(addresses === undefined ? {} : { addresses }),
    ...(labels === undefined ? {} : { labels }),
  };
  return Region.join(await openDevice(device), regionOptions);
}
