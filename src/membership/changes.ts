import type { MemberRecord } from '../memory/member-record.ts';
import {
  KIND_UPDATE,
  REASON_CRASHED,
  REASON_NONE,
  REASON_REBOOTED,
  REASONS,
  STATE_SUSPECT,
} from '../memory/membership.ts';
import { isAttached, type LeaveReason, type Member, memberOf } from './member.ts';

/** What happened to a member. Every member of the region sees the same events with the same view numbers. */
export type MembershipEvent =
  | {
      readonly type: 'join' | 'update' | 'suspect' | 'recovered';
      /** Number of the view that made it so; views count all changes, also those without an event. */
      readonly view: number;
      /** As of this view. */
      readonly member: Member;
      /** By the server's clock. */
      readonly at: Date;
    }
  | {
      readonly type: 'leave';
      readonly reason: LeaveReason;
      readonly view: number;
      /** As it was last. */
      readonly member: Member;
      readonly at: Date;
    };

/** An event, and what is known of the slot once it was delivered. */
export interface Change {
  readonly event: MembershipEvent;
  readonly slot: number;
  readonly after: MemberRecord | null;
}

/** The events between two records of one slot. `view`: of the whole table, for a slot whose record vanished. */
export function changesOf(
  slot: number,
  before: MemberRecord | null,
  after: MemberRecord | null,
  view: number,
): Change[] {
  const changes: Change[] = [];
  const at = new Date(after?.time ?? before?.time ?? 0);
  const stamp = { view: after?.view ?? view, at };
  const sameLife =
    isAttached(before) &&
    isAttached(after) &&
    before.epoch === after.epoch &&
    before.generation === after.generation;
  if (isAttached(before) && !sameLife) {
    const reason = REASONS[reasonOf(before, after)] as LeaveReason;
    const event = { type: 'leave', reason, member: memberOf(before), ...stamp } as const;
    changes.push({ event, slot, after: isAttached(after) ? null : after });
  }
  if (!isAttached(after)) return changes;
  const type = !sameLife ? 'join' : typeOf(before, after);
  if (type !== null) changes.push({ event: { type, member: memberOf(after), ...stamp }, slot, after });
  return changes;
}

function typeOf(before: MemberRecord, after: MemberRecord): 'update' | 'suspect' | 'recovered' | null {
  if (before.state !== after.state && after.state === STATE_SUSPECT) return 'suspect';
  if (before.state !== after.state && before.state === STATE_SUSPECT) return 'recovered';
  const { view, kind, reason, time } = after;
  const same = kind !== KIND_UPDATE && sameRecord({ ...before, view, kind, reason, time }, after);
  return same || before.view === view ? null : 'update';
}

/** What was missed in between cannot be told: a slot that another client holds since then was left without a word. */
function reasonOf(before: MemberRecord, after: MemberRecord | null): number {
  if (after === null || after.epoch !== before.epoch) return REASON_CRASHED;
  if (after.reason !== REASON_NONE) return after.reason;
  return isAttached(after) ? REASON_REBOOTED : REASON_CRASHED;
}

/** All events between two tables, in the order of their views. */
export function difference(
  before: readonly (MemberRecord | null)[],
  after: readonly (MemberRecord | null)[],
  view: number,
): Change[] {
  const changes: Change[] = [];
  for (let slot = 0; slot < after.length; slot++) {
    const [old, now] = [before[slot] ?? null, after[slot] ?? null];
    if (old !== now && !sameRecord(old, now)) changes.push(...changesOf(slot, old, now, view));
  }
  // Stable: the leave of a slot stays before its join.
  return changes.sort((a, b) => (a.event.view - b.event.view) | 0);
}

/** Whether two records say the same, their views included. */
export function sameRecord(a: MemberRecord | null, b: MemberRecord | null): boolean {
  if (a === b || a === null || b === null) return a === b;
  const { items: itemsA, ...restA } = a;
  const { items: itemsB, ...restB } = b;
  return (
    Object.keys(restA).every(
      (key) => restA[key as keyof typeof restA] === restB[key as keyof typeof restB],
    ) &&
    itemsA.length === itemsB.length &&
    itemsA.every((item, i) => item.type === itemsB[i]!.type && item.text === itemsB[i]!.text)
  );
}
