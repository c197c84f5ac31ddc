import { openHost } from '../backend/host.ts';
import { type OpenPciBackendOptions, openPciBackend } from '../backend/probe.ts';
import { IvshmemError } from '../errors/index.ts';
import { PciAddress } from '../pci/address.ts';
import { PciSysfs } from '../pci/sysfs.ts';
import { IvshmemDevice } from './device.ts';
import { chooseFunction } from './find.ts';

export interface OpenDeviceOptions extends Omit<OpenPciBackendOptions, 'backend'> {
  /** `auto` (default): `host` when a socket is given or IVSHMEM_SOCKET is set, else what the device is bound to. */
  readonly backend?: 'auto' | 'vfio' | 'uio' | 'host';
  /** PCI address of the device, when there are several. */
  readonly address?: string;
  /** Name of the region, when there are several devices: looked up in the header of each one's shared memory. */
  readonly region?: string;
  /** The ivshmem server's socket, for a host process. */
  readonly socket?: string;
}

/**
 * Opens an ivshmem device. ERR_IVSHMEM_DEVICE_ABSENT: there is none. ERR_IVSHMEM_DEVICE_AMBIGUOUS: several match. Otherwise the
 * errors of openVfio, openUio and openHost.
 */
export async function openDevice(options: OpenDeviceOptions = {}): Promise<IvshmemDevice> {
  const { backend = 'auto' } = options;
  if (!['auto', 'vfio', 'uio', 'host'].includes(backend))
    throw new IvshmemError('ERR_IVSHMEM_BACKEND', { backend, why: 'there is none of that name' });
  const socket = socketOf(options);
  if (backend === 'host' && socket === undefined)
    throw new IvshmemError('ERR_IVSHMEM_BACKEND', {
      backend,
      why: 'no socket is given and IVSHMEM_SOCKET is not set',
    });
  if (socket !== undefined) return new IvshmemDevice(await openHost(socket));

  const { address, region, sysfs = new PciSysfs(), system, writeCombining } = options;
  const parsed = address === undefined ? undefined : PciAddress.parse(address);
  if (address !== undefined && parsed === undefined)
    throw new IvshmemError('ERR_IVSHMEM_PCI_ADDRESS', { address });
  const how: OpenPciBackendOptions = {
    sysfs,
    ...(backend === 'vfio' || backend === 'uio' ? { backend } : {}),
    ...(system === undefined ? {} : { system }),
    ...(writeCombining === undefined ? {} : { writeCombining }),
  };
  return new IvshmemDevice(openPciBackend(chooseFunction({ sysfs, address: parsed, region, how }), how));
}

/** Undefined for the PCI backends. A PCI address given in the call outweighs a socket in the environment. */
function socketOf({ backend = 'auto', socket, address }: OpenDeviceOptions): string | undefined {
  if (backend === 'vfio' || backend === 'uio') return undefined;
  if (socket !== undefined) return socket;
  if (backend === 'auto' && address !== undefined) return undefined;
  // An empty variable is an unset one, as shells use it.
  return process.env.IVSHMEM_SOCKET || undefined;
}
