import type { MemberRecord } from '../../memory/member-record.ts';
import type { Transaction } from '../records/transaction.ts';
import type { Spaces } from '../region/spaces.ts';

/** What a region offers to who moves pages in it. */
export interface SpreadRegion {
  readonly name: string;
  readonly memory: { readonly fd: number; readonly buffer: ArrayBuffer };
  readonly slots: number;
  readonly vectors: number;
  readonly heapPages: number;
  /** Null in a region that a server of layout 1.1 made. */
  readonly spaces: Spaces | null;
  /** An eventfd of slot and vector; -1 is the last vector. */
  eventfd(slot: number, vector: number): number;
  /** Slots with a driver. */
  attached(): readonly number[];
  run<T>(work: (tx: Transaction) => T): T;
  /** Serves what the slot asks for, once the event loop comes round. */
  visit(slot: number): void;
  evict(slot: number): void;
  onView(listener: (record: MemberRecord) => void): () => void;
}
