import type { MemberRecord } from '../../memory/member-record.ts';
import type { MemberReport, RegionSample, SpacesReport } from '../../observe/sample.ts';
import type { Log } from '../log.ts';
import type { RegionStatus } from './status.ts';

/** The region behind a control socket; RegionServer is one. */
export interface ControlSubject {
  readonly name: string;
  status(): RegionStatus;
  /** The newest view, and the last record of each slot; null for one that was never used. */
  members(): { readonly view: number; readonly records: readonly (MemberRecord | null)[] };
  /** Calls back after each view until the returned function is called. */
  onView(callback: (record: MemberRecord) => void): () => void;
  /** Asks members for fresh statistics first, for a bounded time. */
  sample(): Promise<RegionSample>;
  /** Takes the slot's driver out of the region for good; false when none is attached. */
  evict(slot: number): boolean;
  /**
   * Has the slot's driver leave its channels. Resolves with how many it still has, after `ms` at the latest; null when none is
   * attached. `migrates`: an unplug that follows is told as a migration.
   */
  drain(slot: number, options: { readonly migrates: boolean; readonly ms: number }): Promise<number> | null;
  /** Takes that back; false when none is attached. */
  undrain(slot: number): boolean;
  /** Also of other hosts, where there are any, which may take a moment. */
  spaces(): Promise<SpacesReport>;
  /** Has a space go with its last holder; a spread one by force at once. Rejects when there is no such space, or that cannot be. */
  removeSpace(name: string, force: boolean): Promise<RemovedSpace>;
}

export interface RemovedSpace {
  /** Members that still hold it; of a spread space, hosts with such. With 0 it is gone. */
  readonly holders: number;
  /** Of a spread space: those hosts; by force, those that had such until now. */
  readonly hosts?: readonly string[];
}

/** Hands the region over to another server; what it needs stands in the request. Answers with what it returns. */
export type Handover = (request: Readonly<Record<string, unknown>>) => Promise<object>;

/** What a session of the control socket works with. */
export interface ControlDesk {
  readonly log: Log;
  readonly subject: ControlSubject;
  /** Absent: this server hands nothing over. */
  readonly handover: Handover | undefined;
  /** Adds a receiver of events; returns how to take it away. */
  watch(receive: (line: string) => void): () => void;
  members(): { readonly view: number; readonly members: readonly MemberReport[] };
}
