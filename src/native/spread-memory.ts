import type { Mapping, PacketChannel } from './binding.ts';

export interface SpreadMemoryOptions {
  /** The buffer of a Mapping of the whole region: the control part is read and written there. */
  readonly memory: ArrayBuffer;
  /** The allocation in the region: bytes from its start, on a page, and its length. */
  readonly at: number;
  readonly bytes: number;
  /** Of the space. */
  readonly size: number;
  /** Of this member. */
  readonly slot: number;
  /** Random, not 0: of this opening. */
  readonly generation: number;
  /** The file that the region is mapped from (a duplicate is kept), and where in it the region starts. */
  readonly file: number;
  readonly fileOffset: number;
  /** The eventfd of the vector for orders (a duplicate is kept); -1: polled each millisecond. */
  readonly bell: number;
  /** How to ring the node; null: it polls. */
  readonly doorbell: DoorbellOption;
  /** The longest that a page which others want stays with who acquired it. */
  readonly pinMs: number;
  /** The longest that an access waits for the node. */
  readonly patienceMs: number;
  /** A page that fails takes the whole memory away: it shows zeros from then on, and ticket 0 ends with the reason. Default false. */
  readonly whole?: boolean;
}

export type DoorbellOption = PacketChannel['doorbell'];

/** What `onEvent` is told: see `Outcome` in native/dsm/member_space.h. */
export const SPREAD_OUTCOMES = [
  'done',
  'lost',
  'fenced',
  'range',
  'silent',
  'nonsense',
  'memory',
  'closed',
  'removed',
] as const;

/**
 * Addresses whose pages are mapped and taken away as a node orders. A native thread of the process serves all of them: a load or store
 * that the mapping does not allow waits in a signal handler until the page is there. The first one installs that handler (SIGSEGV), which
 * passes on what is not its own. Throws a RangeError for a control part or numbers that make no sense.
 *
 * `onEvent` is called with ticket 0 when the node knows of it, then once for each acquisition, flush and refresh; `page` is the one that an
 * outcome other than done is about, or -1. Unref'ed.
 */
export interface SpreadMemory {
  /** Close it after this one. */
  readonly mapping: Mapping;
  /** null once closed. */
  readonly shape: { readonly pageBytes: number; readonly pages: number; readonly frames: number } | null;
  /** Why it has ended by itself, an index of SPREAD_OUTCOMES, and because of which page, or -1; null while it has not, and once closed. */
  readonly endedBy: { readonly outcome: number; readonly page: number } | null;
  /** Has pages [first, first + count) here at the same time, until released; ends in onEvent(ticket, outcome). */
  acquire(ticket: number, first: number, count: number, write: boolean): void;
  /** Whether the pages were held until now; ends one that is under way too, without an event. */
  release(ticket: number): boolean;
  /** 1 and 2: asks for pages to read or write, as far as there is room for the request. 0: gives their mappings up. */
  hint(first: number, count: number, right: number): void;
  /** Ends in onEvent(ticket, outcome) when what was stored on this host before can be seen by others. */
  flush(ticket: number): void;
  /** Also when nothing that is older than what others made visible before can be loaded here any more. */
  refresh(ticket: number): void;
  /** The same, and the calling thread waits, patienceMs at most. The outcome is an index of SPREAD_OUTCOMES. */
  flushSync(): number;
  refreshSync(): number;
  /** Whether these pages are mapped now, so that an access would not wait; true once the memory has ended or is closed. */
  has(first: number, count: number, write: boolean): boolean;
  /** Has a party (native/dsm/shared_layout.h) look again, or with `ask` tells in an event that it is gone. Either may be lost. */
  call(party: number, ask: boolean): void;
  /** Of pages, since it was opened; the last ones once closed. */
  counts(): SpreadCounts;
  /** Threads that wait go on with zeros, nothing of the region is mapped any more, the node is told. Idempotent. */
  close(): void;
}

export interface SpreadCounts {
  /** Accesses of threads here that had to wait. */
  readonly readFaults: number;
  readonly writeFaults: number;
  /** Asked of the node. */
  readonly posted: number;
  readonly mapped: number;
  readonly restricted: number;
  readonly failed: number;
  /** Orders that waited for a release, and those that did not wait any longer. */
  readonly deferred: number;
  readonly forced: number;
}
