import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { PciFunction } from '../pci/sysfs.ts';
import type { System } from './system.ts';

/**
 * The files a process opens to use the device through its present driver: with VFIO the group's node, with UIO the
 * /dev/uioN node and the sysfs files of configuration space, registers (BAR0) and memory (BAR2).
 */
export function accessPaths(system: System, device: PciFunction): string[] {
  return candidates(system, device).filter((path) => existsSync(path));
}

function candidates(system: System, device: PciFunction): string[] {
  if (device.driver === 'vfio-pci') {
    const group = device.iommuGroup;
    if (group === undefined) return [];
    // Without an IOMMU VFIO makes up a group and names its node noiommu-N (linux/vfio.h, VFIO_NOIOMMU_IOMMU).
    return [system.path(`/dev/vfio/${group}`), system.path(`/dev/vfio/noiommu-${group}`)];
  }
  if (device.driver === 'uio_pci_generic') {
    return [
      ...device.uioNodes.map((node) => system.path(`/dev/${node}`)),
      device.configPath,
      device.resourcePath(0),
      device.resourcePath(2),
      device.resourcePath(2, true),
    ];
  }
  return [];
}

export interface Holder {
  readonly pid: number;
  readonly name: string;
}

/** Processes that have one of the files open. Complete for root; others see only their own processes. */
export function holders(system: System, paths: readonly string[]): Holder[] {
  const proc = system.path('/proc');
  if (paths.length === 0 || !existsSync(proc)) return [];
  // An open sysfs file shows under its real place, not under the bus directory's link.
  const wanted = new Set(paths.map((path) => realpathSync(path)));
  return readdirSync(proc)
    .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid && opens(join(proc, pid, 'fd'), wanted))
    .map((pid) => ({ pid: Number(pid), name: nameOf(join(proc, pid, 'comm')) }));
}

function opens(directory: string, wanted: ReadonlySet<string>): boolean {
  try {
    return readdirSync(directory).some((fd) => {
      try {
        return wanted.has(readlinkSync(join(directory, fd)));
      } catch {
        return false; // Closed meanwhile.
      }
    });
  } catch {
    return false; // The process ended, or is another user's.
  }
}

function nameOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '?'; // Ended meanwhile.
  }
}

export function describeHolders(list: readonly Holder[]): string {
  return list.map(({ pid, name }) => `${name} (pid ${pid})`).join(', ');
}
