import type { RegionHeader } from './header.ts';
import { LOG_BYTES, PAGE_BYTES, RECORD_BYTES } from './layout.ts';

/**
 * The membership part of a region (docs/shared-memory.md, "Membership"): who is here, as numbered views. The server is its only
 * writer; every member reads it, and checks what it reads.
 */

/** States of a slot in a record. */
export const STATE_FREE = 0;
/** A client holds the slot; no driver has said HELLO. */
export const STATE_JOINING = 1;
export const STATE_ACTIVE = 2;
export const STATE_SUSPECT = 3;
export const STATE_LEAVING = 4;

/** What made a view. */
export const KIND_PAD = 0;
export const KIND_CONNECT = 1;
export const KIND_JOIN = 2;
export const KIND_UPDATE = 3;
export const KIND_SUSPECT = 4;
export const KIND_RECOVERED = 5;
export const KIND_LEAVE = 6;
export const KIND_DISCONNECT = 7;

/** Why a member left, by the number that stands for it; 0 is no reason. */
export const REASONS = ['none', 'closed', 'crashed', 'rebooted', 'unplugged', 'migrated', 'evicted'] as const;
export const REASON_NONE = 0;
export const REASON_CLOSED = 1;
export const REASON_CRASHED = 2;
export const REASON_REBOOTED = 3;
export const REASON_UNPLUGGED = 4;
export const REASON_MIGRATED = 5;
export const REASON_EVICTED = 6;

/** How a member reaches the region, by the number in HELLO and in its record. */
export const BACKENDS = ['unknown', 'vfio', 'uio', 'host'] as const;

/** Words of the membership header; each group sits on a line of its own. */
export const MEMBERSHIP_W = {
  recordBytes: 0,
  logBytes: 1,
  /** Position of the oldest log line that is whole; moved (release) before lines are overwritten. In lines, modulo 2^32. */
  logStart: 16,
  /** Position behind the newest record; moved (release) when the record is complete. In lines, modulo 2^32. */
  logEnd: 17,
  /** Which copy of the table is the finished one, 0 or 1. */
  current: 32,
  /** Of copy 0, then 16 words on of copy 1: sequence (odd while the copy is written), view, logEnd at that view. */
  copy: 48,
} as const;
export const COPY_WORDS = 16;
export const COPY_SEQUENCE = 0;
export const COPY_VIEW = 1;
export const COPY_LOG_END = 2;

export const LOG_LINE_BYTES = 64;
export const LOG_LINES = LOG_BYTES / LOG_LINE_BYTES;
export const RECORD_WORDS = RECORD_BYTES / 4;

/** Word indices of the membership part within the words of a region. */
export interface MembershipPlace {
  readonly slots: number;
  readonly header: number;
  readonly tables: readonly [number, number];
  readonly log: number;
}

/** Where the membership part lies; null in a region without one. The header was checked: all of it lies in the region. */
export function membershipPlace(header: RegionHeader): MembershipPlace | null {
  return header.membershipPage === 0 ? null : placeAt(header.membershipPage, header.slots);
}

export function placeAt(membershipPage: number, slots: number): MembershipPlace {
  const pageWords = PAGE_BYTES / 4;
  const tableWords = Math.ceil((slots * RECORD_BYTES) / PAGE_BYTES) * pageWords;
  const header = membershipPage * pageWords;
  const first = header + pageWords;
  return { slots, header, tables: [first, first + tableWords], log: first + 2 * tableWords };
}
