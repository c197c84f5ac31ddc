import { readMsix } from '../pci/msix.ts';
import type { PciFunction } from '../pci/sysfs.ts';
import { accessPaths, type Holder, holders } from './access.ts';
import { peekRegion } from './region-peek.ts';
import type { Peek } from './select.ts';
import type { Owner, System } from './system.ts';
import { currentRecord } from './transaction.ts';

export interface DeviceStatus {
  readonly address: string;
  readonly revision: number;
  /** Told by the MSI-X capability; unknown when the configuration space is hidden from this user. */
  readonly variant: 'doorbell' | 'plain' | 'unknown';
  readonly vectors: number | null;
  readonly memoryBytes: number;
  /** The region's name; null when it cannot be read, and `regionWhy` says why. */
  readonly region: string | null;
  readonly regionWhy: string | null;
  readonly driver: string | null;
  readonly driverOverride: string | null;
  readonly iommuGroup: number | null;
  /** Whether `ivshmem bind` did this, so that `unbind` can take it back. */
  readonly recorded: boolean;
  readonly nodes: readonly ({ readonly path: string } & Owner)[];
  readonly holders: readonly Holder[];
}

/** How a device stands at this moment. Changes nothing, but as root enables memory space to read the region's name. */
export async function deviceStatus(
  system: System,
  device: PciFunction,
  peek: Peek = peekRegion,
): Promise<DeviceStatus> {
  const config = device.config();
  const msix = readMsix(config);
  const region =
    system.uid === 0 ? await peek(device) : { why: 'only root may look into a device it has not opened' };
  const paths = accessPaths(system, device);
  return {
    address: device.address.toString(),
    revision: config.revision,
    variant: msix !== undefined ? 'doorbell' : config.hasCapabilityArea ? 'plain' : 'unknown',
    vectors: msix?.vectors ?? null,
    memoryBytes: device.resources()[2]?.sizeBytes ?? 0,
    region: 'name' in region ? region.name : null,
    regionWhy: 'why' in region ? region.why : null,
    driver: device.driver ?? null,
    driverOverride: device.driverOverride ?? null,
    iommuGroup: device.iommuGroup ?? null,
    recorded: currentRecord(system, device) !== undefined,
    nodes: paths.map((path) => ({ path, ...system.owner(path) })),
    holders: holders(system, paths),
  };
}
