import { type ErrorCode, IvshmemError, isIvshmemError } from '../errors/index.ts';
import type { PciFunction } from '../pci/sysfs.ts';
import { type BindRecord, readRecord, recordPath, removeRecord, writeRecord } from './record.ts';
import type { System } from './system.ts';
import { revertAll, type Undo } from './undo.ts';

/**
 * The steps of one `bind` on one device. Each undo is on disk before its step is made. `rollback` returns to where this
 * transaction began; the record, which `unbind` follows, leads back to where the first one began.
 */
export class Transaction {
  readonly device: PciFunction;
  readonly dryRun: boolean;
  /** What was done, or with `dryRun` would be, in words. */
  readonly steps: string[] = [];
  readonly prior: BindRecord | undefined;
  readonly #system: System;
  readonly #driver: string;
  readonly #undo: Undo[] = [];

  constructor(system: System, device: PciFunction, driver: string, dryRun: boolean) {
    this.#system = system;
    this.device = device;
    this.#driver = driver;
    this.dryRun = dryRun;
    this.prior = currentRecord(system, device);
  }

  /** Remembers how things are, without changing any. */
  remember(...undo: readonly Undo[]): void {
    if (this.dryRun) return;
    this.#undo.push(...undo);
    writeRecord(this.#system, this.device.address, this.#merged());
  }

  /** Makes one step. A kernel error becomes ERR_IVSHMEM_BIND_STEP; catalogued ones pass through. */
  step(text: string, undo: Undo | undefined, action: () => void): void {
    this.steps.push(text);
    if (this.dryRun) return;
    if (undo !== undefined) this.remember(undo);
    try {
      action();
    } catch (cause) {
      if (isIvshmemError(cause)) throw cause;
      const step = `${text} (${this.device.address})`;
      throw new IvshmemError('ERR_IVSHMEM_BIND_STEP', { step, why: (cause as Error).message }, { cause });
    }
  }

  /** Takes this transaction's steps back, also the record. Returns the reasons of those that would not go back. */
  rollback(): string[] {
    const failed = revertAll(this.#system, this.device, this.#undo);
    const { address } = this.device;
    if (failed.length > 0) {
      const undo = [...(this.prior?.undo ?? []), ...failed.map((item) => item.undo)];
      writeRecord(this.#system, address, { driver: this.device.driverOverride ?? '', undo });
    } else if (this.prior !== undefined) writeRecord(this.#system, address, this.prior);
    else removeRecord(this.#system, address);
    return failed.map((item) => item.why);
  }

  /** Prior undos come first, so they are made last and win: they hold the state before the very first bind. */
  #merged(): BindRecord {
    const prior = this.prior?.undo ?? [];
    const known = new Set(prior.map(subject));
    const added = this.#undo.filter((undo) => !known.has(subject(undo)));
    return { driver: this.#driver, undo: [...prior, ...added] };
  }
}

/** What an undo is about: of two about the same, the older one tells the original state. */
function subject(undo: Undo): string {
  switch (undo.kind) {
    case 'owner':
    case 'parameter':
      return `${undo.kind} ${undo.path}`;
    case 'bound':
      return `bound ${undo.driver}`;
    default:
      return undo.kind;
  }
}

/**
 * The device's record if it still holds. driver_override is set before all else that can be undone, so a device with
 * another mark than the record names was never changed, or was unplugged and plugged in anew: its record is void.
 */
export function currentRecord(system: System, device: PciFunction): BindRecord | undefined {
  const record = readRecord(system, device.address);
  return record !== undefined && isCurrent(record, device) ? record : undefined;
}

/** A record of steps that would not go back names the override that was left, '' for none. */
export function isCurrent(record: BindRecord, device: PciFunction): boolean {
  return record.driver === (device.driverOverride ?? '');
}

/** Rolls several transactions back, the last first. Throws ERR_IVSHMEM_BIND_LEFTOVER when something stays changed. */
export function rollbackAll(system: System, transactions: readonly Transaction[], cause: unknown): void {
  const left: string[] = [];
  for (const transaction of [...transactions].reverse()) {
    if (!transaction.dryRun) left.push(...transaction.rollback());
  }
  const last = transactions.at(-1);
  if (left.length === 0 || last === undefined) return;
  const on = last.device.address.toString();
  const state = recordPath(system, last.device.address);
  const code = 'ERR_IVSHMEM_BIND_LEFTOVER' satisfies ErrorCode;
  throw new IvshmemError(code, { on, left: left.join('; '), state }, { cause });
}
