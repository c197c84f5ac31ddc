import { IvshmemError, isIvshmemError } from '../errors/index.ts';
import type { PciFunction } from '../pci/sysfs.ts';
import { refuseInUse } from './bind.ts';
import { isBindDriver } from './modules.ts';
import {
  type BindRecord,
  readRecord,
  recordedAddresses,
  recordPath,
  removeRecord,
  writeRecord,
} from './record.ts';
import { ivshmemDevices, type Peek, selectDevices } from './select.ts';
import type { System } from './system.ts';
import { isCurrent } from './transaction.ts';
import { describeUndo, revertAll, type Undo } from './undo.ts';

export interface UnbindOptions {
  /** Also take devices from vfio-pci or uio_pci_generic that `bind` did not give to it. */
  readonly force?: boolean;
  readonly dryRun?: boolean;
}

export interface UnbindResult {
  readonly address: string;
  /** What was done (or would be), in order; empty when there was nothing to take back. */
  readonly steps: readonly string[];
  /** The driver afterwards; null without one. */
  readonly driver: string | null;
}

/** The devices `unbind` means: as for bind, but without selectors only devices that are bound count. */
export async function selectBound(
  system: System,
  selectors: readonly string[],
  all: boolean,
  peek?: Peek,
): Promise<PciFunction[]> {
  if (selectors.length > 0) return selectDevices(system, selectors, all, peek);
  const bound = ivshmemDevices(system).filter(
    (device) => isBindDriver(device.driver) || isRecorded(system, device),
  );
  if (bound.length > 1 && !all) {
    const candidates = bound.map((device) => device.address.toString()).join(', ');
    throw new IvshmemError('ERR_IVSHMEM_DEVICE_AMBIGUOUS', { candidates });
  }
  return bound;
}

/**
 * Restores what `bind` found: driver_override, the old driver, owners. Repeating it changes nothing.
 * ERR_IVSHMEM_BIND_LEFTOVER when a step fails (the rest is done, what is left stays recorded), and ERR_IVSHMEM_BIND_*.
 */
export function unbindDevices(
  system: System,
  devices: readonly PciFunction[],
  options: UnbindOptions = {},
): UnbindResult[] {
  const dryRun = options.dryRun ?? false;
  if (system.uid !== 0 && !dryRun)
    throw new IvshmemError('ERR_IVSHMEM_BIND_NOT_ROOT', { action: 'unbind a device' });
  const results = devices.map((device) => unbindDevice(system, device, options.force ?? false, dryRun));
  if (!dryRun) forgetUnplugged(system);
  return results;
}

function unbindDevice(system: System, device: PciFunction, force: boolean, dryRun: boolean): UnbindResult {
  const address = device.address.toString();
  const undo = undoOf(system, device, force);
  // Only a step that takes the device from its driver can meet its users.
  if (undo.some((item) => item.kind === 'bound' && item.driver === device.driver))
    refuseInUse(system, device);
  const steps = undo.map(describeUndo).reverse();
  if (dryRun) return { address, steps, driver: device.driver ?? null };
  const failed = revertAll(system, device, undo);
  if (failed.length > 0) {
    const record: BindRecord = { driver: device.driverOverride ?? '', undo: failed.map((item) => item.undo) };
    writeRecord(system, device.address, record);
    const left = failed.map((item) => item.why).join('; ');
    const state = recordPath(system, device.address);
    throw new IvshmemError('ERR_IVSHMEM_BIND_LEFTOVER', { on: address, left, state });
  }
  removeRecord(system, device.address);
  return { address, steps, driver: device.driver ?? null };
}

function undoOf(system: System, device: PciFunction, force: boolean): readonly Undo[] {
  const record = readRecordUnless(system, device, force);
  if (record !== undefined) {
    if (isCurrent(record, device)) return record.undo;
    // Plugged in anew since: the nodes under the recorded names may be another device's by now.
    return record.undo.filter((item) => item.kind !== 'owner');
  }
  const { driver } = device;
  const held = isBindDriver(driver) ? driver : undefined;
  const override = isBindDriver(device.driverOverride) ? device.driverOverride : undefined;
  if (held === undefined && override === undefined) return [];
  if (!force) {
    const on = device.address.toString();
    const by = held ?? override!;
    throw new IvshmemError('ERR_IVSHMEM_BIND_FOREIGN_DRIVER', { action: 'unbind', on, driver: by });
  }
  return [
    { kind: 'override', before: null },
    ...(held === undefined ? [] : [{ kind: 'bound' as const, driver: held }]),
  ];
}

/** A damaged record is an error that --force overrides: then only driver and driver_override are restored. */
function readRecordUnless(system: System, device: PciFunction, force: boolean): BindRecord | undefined {
  try {
    return readRecord(system, device.address);
  } catch (error) {
    if (force && isIvshmemError(error, 'ERR_IVSHMEM_BIND_STATE')) return undefined;
    throw error;
  }
}

function isRecorded(system: System, device: PciFunction): boolean {
  return recordedAddresses(system).some((address) => address.equals(device.address));
}

function forgetUnplugged(system: System): void {
  for (const address of recordedAddresses(system)) {
    if (!system.pci.function(address).exists) removeRecord(system, address);
  }
}
