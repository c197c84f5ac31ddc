import type { MemberRecord } from '../memory/member-record.ts';
import { BACKENDS } from '../memory/membership.ts';
import type { Slot } from './slots.ts';
import { publicState } from './views.ts';

const STATES = ['free', 'joining', 'active', 'suspect', 'leaving'] as const;

/** A member as the server knows it, whatever the shared tables say. */
export interface MemberNow {
  readonly slot: number;
  readonly epoch: number;
  /** Empty while joining. */
  readonly name: string;
  readonly state: 'joining' | 'active' | 'suspect' | 'leaving';
  readonly backend: (typeof BACKENDS)[number];
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  readonly addresses: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly listeners: readonly string[];
  /** Since it joined, or while joining since the client connected or lost its driver. */
  readonly since: Date;
  readonly evicted: boolean;
}

/** `record`: the slot's last one, which has what the member says of itself. */
export function memberNow(slot: Slot, record: MemberRecord | null, listeners: readonly string[]): MemberNow {
  const state = STATES[publicState(slot)]!;
  if (state === 'free') throw new RangeError(`nobody holds slot ${slot.id}`);
  const items = record?.items ?? [];
  const labels = items.filter(({ type }) => type === 'label').map(({ text }) => text);
  return {
    slot: slot.id,
    epoch: slot.epoch,
    name: slot.name,
    state,
    backend: BACKENDS[slot.backend]!,
    ...slot.credentials,
    addresses: items.filter(({ type }) => type === 'address').map(({ text }) => text),
    labels: Object.fromEntries(
      labels.map((text) => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)]),
    ),
    listeners,
    since: new Date(slot.since),
    evicted: slot.evicted,
  };
}
