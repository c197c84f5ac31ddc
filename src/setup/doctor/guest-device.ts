import { accessSync, constants } from 'node:fs';
import { readMsix } from '../../pci/msix.ts';
import { accessPaths } from '../access.ts';
import { groupSharers } from '../choose-driver.ts';
import { lockdownMode } from '../lockdown.ts';
import { bindDrivers, driverAvailable, isBindDriver } from '../modules.ts';
import { failed, type GuestCheck, ok, warning } from './finding.ts';

export const checkDriver: GuestCheck = ({ device }) => {
  const name = 'driver';
  const { driver } = device;
  if (isBindDriver(driver)) return ok(name, driver);
  if (driver === undefined)
    return failed(name, 'none', `Run: sudo ivshmem bind ${device.address} --user $USER`);
  const fix = `Stop what uses it, then run: sudo ivshmem bind --force ${device.address}`;
  return failed(name, `${driver}, which this package does not use`, fix);
};

export const checkModules: GuestCheck = ({ system }) => {
  const name = 'modules';
  const there = bindDrivers.filter((driver) => driverAvailable(system, driver));
  if (there.length > 0) return ok(name, `kernel ${system.release} has ${there.join(' and ')}`);
  const fix =
    'Install the full kernel package of the distribution instead of a cloud or minimal flavour; after a kernel update, reboot.';
  return failed(name, `kernel ${system.release} has neither vfio-pci nor uio_pci_generic`, fix);
};

export const checkIommu: GuestCheck = ({ system, device }) => {
  const name = 'IOMMU group';
  const group = device.iommuGroup;
  if (group === undefined) {
    const fix =
      'For interrupts give the VM an IOMMU: -machine q35 -device intel-iommu,intremap=on (with KVM also kernel-irqchip=split) and intel_iommu=on on its kernel command line. Without it only uio_pci_generic works, polled.';
    return warning(name, 'none', fix);
  }
  const sharers = groupSharers(system, device);
  if (sharers.length === 0) return ok(name, `${group}`);
  return failed(
    name,
    `${group}, shared with ${sharers.join(', ')}`,
    'Plug the ivshmem device into a bus or root port of its own, or bind the others to vfio-pci.',
  );
};

export const checkAccess: GuestCheck = ({ system, device }) => {
  const name = 'access';
  const paths = accessPaths(system, device);
  if (paths.length === 0) {
    return failed(name, 'there is nothing to open', `Run: sudo ivshmem bind ${device.address} --user $USER`);
  }
  const denied = paths.filter((path) => !accessible(path));
  if (denied.length === 0) return ok(name, `this user may open ${paths.join(' ')}`);
  return failed(
    name,
    `this user may not open ${denied.join(' ')}`,
    `Run: sudo ivshmem bind ${device.address} --user $USER`,
  );
};

export const checkMsix: GuestCheck = ({ device }) => {
  const name = 'MSI-X';
  const config = device.config();
  const msix = readMsix(config);
  if (msix === undefined && !config.hasCapabilityArea) {
    return warning(
      name,
      'hidden: this user sees only the header of the configuration space',
      'Run ivshmem doctor as root.',
    );
  }
  if (msix === undefined) {
    return warning(
      name,
      'absent: this is ivshmem-plain, without doorbells',
      'Start the VM with -device ivshmem-doorbell and a chardev to the socket of `ivshmem server`.',
    );
  }
  if (device.driver === 'uio_pci_generic') {
    return warning(
      name,
      `${msix.vectors} vectors, unused: uio_pci_generic polls`,
      'Bind to vfio-pci for interrupts (needs an IOMMU).',
    );
  }
  return ok(name, `${msix.vectors} vectors`);
};

export const checkLockdown: GuestCheck = ({ system, device }) => {
  const name = 'lockdown';
  const mode = lockdownMode(system);
  if (mode === 'none') return ok(name, 'off');
  if (device.driver === 'vfio-pci') return ok(name, `${mode}; vfio-pci is allowed`);
  return failed(
    name,
    `${mode}: BARs cannot be mapped through sysfs`,
    'Bind to vfio-pci (needs an IOMMU), or boot without lockdown (Secure Boot off).',
  );
};

export const checkMemory: GuestCheck = ({ device }) => {
  const name = 'BAR2';
  const bar = device.resources()[2];
  if (bar === undefined || bar.sizeBytes === 0) {
    return failed(
      name,
      'has no memory',
      'The firmware or kernel found no room for it: see dmesg; use 64-bit firmware, or a smaller region.',
    );
  }
  const size = bar.sizeBytes / (1024 * 1024);
  if (bar.sizeBytes < 1 << 20) {
    return failed(
      name,
      `${bar.sizeBytes} bytes`,
      'A region needs at least 1 MiB: see the size of the region in the server.',
    );
  }
  return ok(name, `${size} MiB at 0x${bar.start.toString(16)}`);
};

function accessible(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
