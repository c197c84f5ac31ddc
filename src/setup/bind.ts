import { readFileSync } from 'node:fs';
import { IvshmemError } from '../errors/index.ts';
import type { PciFunction } from '../pci/sysfs.ts';
import { accessPaths, describeHolders, holders } from './access.ts';
import { chooseDriver, type DriverChoice, noIommuParameter, type WantedDriver } from './choose-driver.ts';
import { grantAccess } from './grant-access.ts';
import { driverAvailable, isBindDriver, loadDriver } from './modules.ts';
import type { Owner, System } from './system.ts';
import { rollbackAll, Transaction } from './transaction.ts';
import { findUser } from './users.ts';

export interface BindOptions {
  readonly driver: WantedDriver;
  /** Who may use the device afterwards: a name or a number. */
  readonly user?: string | undefined;
  /** Take the device even from a driver that someone else gave it to. */
  readonly force?: boolean;
  /** VFIO may be used without an IOMMU. */
  readonly allowNoIommu?: boolean;
  /** Only say what would be done. */
  readonly dryRun?: boolean;
  /** Run after all devices are bound (or planned); when it throws, everything is taken back. */
  readonly finish?: (results: readonly BindResult[]) => void;
}

export interface BindResult {
  readonly address: string;
  readonly driver: string;
  /** What was done (or would be), in order; empty when everything was in place. */
  readonly steps: readonly string[];
  /** What a user of the device opens. */
  readonly nodes: readonly string[];
  readonly notes: readonly string[];
}

/**
 * Gives devices to vfio-pci or uio_pci_generic, all of them or none: at the first failure everything this call did is
 * taken back. Repeating it changes nothing. Errors: ERR_IVSHMEM_BIND_*.
 */
export function bindDevices(
  system: System,
  devices: readonly PciFunction[],
  options: BindOptions,
): BindResult[] {
  const dryRun = options.dryRun ?? false;
  if (system.uid !== 0 && !dryRun)
    throw new IvshmemError('ERR_IVSHMEM_BIND_NOT_ROOT', { action: 'bind a device' });
  const owner = options.user === undefined ? undefined : findUser(system, options.user);
  const transactions: Transaction[] = [];
  const results: BindResult[] = [];
  try {
    for (const device of devices) {
      const choice = chooseDriver(system, device, options.driver, options.allowNoIommu ?? false);
      const transaction = new Transaction(system, device, choice.driver, dryRun);
      transactions.push(transaction);
      bindDevice(system, transaction, choice, owner, options);
      results.push({
        address: device.address.toString(),
        driver: choice.driver,
        steps: transaction.steps,
        nodes: accessPaths(system, device),
        notes: notes(choice, options),
      });
    }
    options.finish?.(results);
    return results;
  } catch (error) {
    rollbackAll(system, transactions, error);
    throw error;
  }
}

function bindDevice(
  system: System,
  transaction: Transaction,
  choice: DriverChoice,
  owner: Owner | undefined,
  options: BindOptions,
): void {
  const { device } = transaction;
  if (device.driver !== choice.driver) {
    refuseForeign(system, transaction, options.force ?? false);
    prepareDriver(system, transaction, choice);
    changeDriver(system, transaction, choice);
  } else if (device.driverOverride !== choice.driver) {
    // Bound by hand (new_id): without the override another driver could take the device at the next probe.
    transaction.remember({ kind: 'probe', before: device.driver });
    reserve(transaction, choice.driver);
  }
  if (owner !== undefined) grantAccess(system, transaction, owner, options.user!);
}

/** Refuses to take the device from a driver that is someone else's, or from processes that use it. */
function refuseForeign(system: System, transaction: Transaction, force: boolean): void {
  const { device } = transaction;
  const { driver } = device;
  if (driver === undefined) return;
  const on = device.address.toString();
  if (transaction.prior === undefined && !force) {
    throw new IvshmemError('ERR_IVSHMEM_BIND_FOREIGN_DRIVER', { action: 'bind', on, driver });
  }
  refuseInUse(system, device);
}

/** ERR_IVSHMEM_BIND_IN_USE while a process has the device open: the kernel's unbind of vfio-pci waits for it for ever. */
export function refuseInUse(system: System, device: PciFunction): void {
  const users = holders(system, accessPaths(system, device));
  if (users.length === 0 || device.driver === undefined) return;
  throw new IvshmemError('ERR_IVSHMEM_BIND_IN_USE', {
    on: device.address.toString(),
    driver: device.driver,
    holders: describeHolders(users),
  });
}

function prepareDriver(system: System, transaction: Transaction, choice: DriverChoice): void {
  if (system.pci.hasDriver(choice.driver)) return;
  if (transaction.dryRun && !driverAvailable(system, choice.driver)) {
    const { release } = system;
    const why = 'it is not among the modules of this kernel';
    throw new IvshmemError('ERR_IVSHMEM_BIND_MODULE_ABSENT', { module: choice.driver, release, why });
  }
  // Not undone: a loaded module that drives nothing changes nothing.
  transaction.step(`load the module ${choice.driver}`, undefined, () => loadDriver(system, choice.driver));
}

function changeDriver(system: System, transaction: Transaction, choice: DriverChoice): void {
  const { device } = transaction;
  const before = device.driver;
  if (before !== undefined && isBindDriver(before)) {
    // A rollback re-creates the old driver's nodes, which then belong to root.
    for (const path of accessPaths(system, device)) {
      transaction.remember({ kind: 'owner', path, ...system.owner(path) });
    }
  }
  transaction.remember({ kind: 'probe', before: before ?? null });
  reserve(transaction, choice.driver);
  if (before !== undefined) {
    transaction.step(`take the device from ${before}`, undefined, () => device.unbind());
  }
  if (choice.noIommu) allowNoIommu(system, transaction);
  const { driver } = choice;
  transaction.step(`bind the device to ${driver}`, { kind: 'bound', driver }, () => probe(device, driver));
}

function reserve(transaction: Transaction, driver: string): void {
  const { device } = transaction;
  const before = device.driverOverride ?? null;
  transaction.step(`set driver_override to ${driver}`, { kind: 'override', before }, () =>
    device.setDriverOverride(driver),
  );
}

function allowNoIommu(system: System, transaction: Transaction): void {
  const text = 'allow VFIO without an IOMMU';
  if (transaction.dryRun) {
    transaction.step(text, undefined, () => {});
    return;
  }
  const path = noIommuParameter(system, transaction.device);
  if (readFileSync(path, 'utf8').startsWith('Y')) return;
  transaction.step(text, { kind: 'parameter', path, before: 'N' }, () => system.pci.write(path, 'Y'));
}

function probe(device: PciFunction, driver: string): void {
  const on = device.address.toString();
  try {
    device.probe();
  } catch (cause) {
    const why = (cause as Error).message;
    throw new IvshmemError('ERR_IVSHMEM_BIND_REFUSED', { on, driver, why }, { cause });
  }
  if (device.driver !== driver) {
    const why = device.driver === undefined ? 'no driver took it' : `${device.driver} took it`;
    throw new IvshmemError('ERR_IVSHMEM_BIND_REFUSED', { on, driver, why });
  }
}

function notes(choice: DriverChoice, options: BindOptions): string[] {
  const list: string[] = [];
  if (options.driver === 'auto') list.push(`${choice.driver}, because ${choice.why}`);
  if (choice.driver === 'uio_pci_generic') {
    list.push('uio_pci_generic has no MSI-X: doorbells go out, arrivals are polled');
  }
  if (choice.noIommu && options.user !== undefined) {
    list.push('without an IOMMU the program needs CAP_SYS_RAWIO as well (setcap cap_sys_rawio+ep)');
  }
  return list;
}
