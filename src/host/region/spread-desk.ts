import type { HostsReport, SpreadReport } from '../../observe/sample.ts';
import type { Transaction } from '../records/transaction.ts';
import type { SpaceOpen } from './requests.ts';
import type { Slot } from './slots.ts';
import type { Opened } from './spaces.ts';

/** Where members ask for spaces that spread over hosts. */
export interface SpreadDesk {
  readonly reports: SpreadReports;
  /** Null: it takes a while; the slot is visited again when there is an answer. */
  open(tx: Transaction, slot: Slot, seq: number, open: SpaceOpen): Opened | null;
  /** Null as with open(). `force`: from who has it open, too. */
  remove(slot: Slot, seq: number, name: string, force: boolean): Removed | null;
  /** For operators. */
  removeNow(name: string, force: boolean): Promise<Removed>;
}

export interface Removed {
  /** STATUS_* */
  readonly status: number;
  /** Hosts with members that still have it open; by force, that had it open until now. */
  readonly hosts: readonly string[];
}

/** What operators ask of them. */
export interface SpreadReports {
  hosts(): HostsReport;
  /** By name. `all`: what other hosts have of each, too. */
  spaces(all: boolean): Promise<Map<string, SpreadReport>>;
}
