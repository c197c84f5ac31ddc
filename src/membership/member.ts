import type { MemberRecord } from '../memory/member-record.ts';
import { BACKENDS, type REASONS, STATE_ACTIVE, STATE_FREE } from '../memory/membership.ts';

/** Why a member left. */
export type LeaveReason = Exclude<(typeof REASONS)[number], 'none'>;
export type MemberState = 'joining' | 'active' | 'suspect' | 'leaving';

const STATES: readonly MemberState[] = ['joining', 'active', 'suspect', 'leaving'];

/** Somebody who holds a slot, as of one view. What a member says of itself is its own claim: name, addresses and labels. */
export interface Member {
  /** Peer ID on the device. */
  readonly slot: number;
  /** Counts the clients that held the slot: with the slot it names a client for ever. */
  readonly epoch: number;
  /** Unique among attached members; empty while `joining`. */
  readonly name: string;
  /**
   * `joining`: a client (a QEMU) holds the slot, its driver has not said hello. `suspect`: no sign of life for as long as
   * somebody asked (`suspectAfterMs`). `leaving`: it drains, and takes no new channels.
   */
  readonly state: MemberState;
  /** How it reaches the region, as it says. */
  readonly backend: (typeof BACKENDS)[number];
  /** Of its client on the host (the QEMU, for a VM), as the kernel told the server. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  readonly addresses: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** Service names it listens to; not all of them when `listenersTruncated`. */
  readonly listeners: readonly string[];
  readonly listenersTruncated: boolean;
  /** When it became as described here, by the server's clock. */
  readonly since: Date;
}

/** A client holds the slot. */
export function isHeld(record: MemberRecord | null | undefined): record is MemberRecord {
  return record !== null && record !== undefined && record.state !== STATE_FREE;
}

/** A driver is attached: whom events tell of. */
export function isAttached(record: MemberRecord | null | undefined): record is MemberRecord {
  return record !== null && record !== undefined && record.state >= STATE_ACTIVE;
}

/** Of a slot whose client has no driver. */
const NOBODY: Pick<MemberRecord, 'name' | 'backend' | 'items' | 'listenersTruncated'> = {
  name: '',
  backend: BACKENDS.indexOf('unknown'),
  items: [],
  listenersTruncated: false,
};

const members = new WeakMap<MemberRecord, Member>();

/** The member that a record of a held slot describes; the same object for the same record. */
export function memberOf(record: MemberRecord): Member {
  let member = members.get(record);
  if (member === undefined) {
    member = describe(record);
    members.set(record, member);
  }
  return member;
}

function describe(record: MemberRecord): Member {
  // The record of a leave still says who left; a slot without a driver has nobody to describe.
  const { name, backend, items, listenersTruncated } = isAttached(record) ? record : NOBODY;
  const texts = (type: string): readonly string[] =>
    Object.freeze(items.filter((item) => item.type === type).map(({ text }) => text));
  return Object.freeze({
    slot: record.slot,
    epoch: record.epoch,
    name,
    state: STATES[record.state - 1]!,
    backend: BACKENDS[backend]!,
    pid: record.pid,
    uid: record.uid,
    gid: record.gid,
    addresses: texts('address'),
    labels: Object.freeze(Object.fromEntries(texts('label').map(keyAndValue))),
    listeners: texts('listener'),
    listenersTruncated,
    since: new Date(record.time),
  });
}

/** The server refuses labels without "="; a scribbled one is its own key. */
function keyAndValue(label: string): [string, string] {
  const at = label.indexOf('=');
  return at < 0 ? [label, ''] : [label.slice(0, at), label.slice(at + 1)];
}
