import { readFileSync } from 'node:fs';
import { IvshmemError } from '../errors/index.ts';
import type { System } from './system.ts';

/** PCI drivers `ivshmem bind` gives a device to, and the kernel modules that bring them. */
export type BindDriver = 'vfio-pci' | 'uio_pci_generic';
export const bindDrivers: readonly BindDriver[] = ['vfio-pci', 'uio_pci_generic'];

export function isBindDriver(driver: string | undefined): driver is BindDriver {
  return bindDrivers.includes(driver as BindDriver);
}

/** Whether the driver is loaded, or the running kernel's module directory lists its module. Loads nothing. */
export function driverAvailable(system: System, driver: BindDriver): boolean {
  if (system.pci.hasDriver(driver)) return true;
  // Module files spell the name with either separator.
  const file = new RegExp(`/${driver.replace(/[-_]/g, '[-_]')}\\.ko`);
  return ['modules.dep', 'modules.builtin'].some((list) => {
    try {
      return file.test(readFileSync(system.path(`/lib/modules/${system.release}/${list}`), 'utf8'));
    } catch {
      return false; // No such list: then modprobe would find nothing either.
    }
  });
}

/** Loads the driver's module unless the driver is there; ERR_IVSHMEM_BIND_MODULE_ABSENT otherwise. */
export function loadDriver(system: System, driver: BindDriver): void {
  if (system.pci.hasDriver(driver)) return;
  const outcome = system.run('modprobe', [driver]);
  if (system.pci.hasDriver(driver)) return;
  const said = outcome.stderr.trim().split('\n').at(-1);
  throw new IvshmemError('ERR_IVSHMEM_BIND_MODULE_ABSENT', {
    module: driver,
    release: system.release,
    why: said || `modprobe ended with status ${outcome.status} and the driver is not there`,
  });
}
