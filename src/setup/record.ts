import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { IvshmemError } from '../errors/index.ts';
import { PciAddress } from '../pci/address.ts';
import { checkRecord } from './record-check.ts';
import type { System } from './system.ts';
import type { Undo } from './undo.ts';

/** What `bind` did to one device and how it is taken back. */
export interface BindRecord {
  /** The driver_override that was set; '' when taking back cleared it and then failed. */
  readonly driver: string;
  /** In the order the steps were made. */
  readonly undo: readonly Undo[];
}

/** Beside the state it describes: both are gone after a reboot. */
const DIRECTORY = '/run/ivshmem/bind';

export function recordPath(system: System, address: PciAddress): string {
  return join(system.path(DIRECTORY), `${address}.json`);
}

/** The record of a device; undefined when `bind` did nothing to it. ERR_IVSHMEM_BIND_STATE when it is damaged. */
export function readRecord(system: System, address: PciAddress): BindRecord | undefined {
  const path = recordPath(system, address);
  if (!existsSync(path)) return undefined;
  try {
    return checkRecord(JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    const why = (cause as Error).message;
    throw new IvshmemError('ERR_IVSHMEM_BIND_STATE', { path, why, on: address.toString() }, { cause });
  }
}

/** Replaces the record as a whole: a reader sees the old one or the new one. */
export function writeRecord(system: System, address: PciAddress, record: BindRecord): void {
  const path = recordPath(system, address);
  mkdirSync(system.path(DIRECTORY), { recursive: true, mode: 0o755 });
  writeFileSync(`${path}.new`, `${JSON.stringify({ version: 1, ...record }, undefined, 2)}\n`, {
    mode: 0o644,
  });
  renameSync(`${path}.new`, path);
}

export function removeRecord(system: System, address: PciAddress): void {
  rmSync(recordPath(system, address), { force: true });
}

/** Addresses that have a record, plugged in or not. */
export function recordedAddresses(system: System): PciAddress[] {
  const directory = system.path(DIRECTORY);
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => name.endsWith('.json'))
    .map((name) => PciAddress.parse(name.slice(0, -'.json'.length)))
    .filter((address) => address !== undefined);
}
