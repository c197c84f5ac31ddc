import { z } from 'zod';
import {
  CONSISTENCIES,
  MAX_CHANNELS,
  MAX_SLOTS,
  MAX_SPACES,
  MOST_REPLICAS,
  PAGE_BYTES,
  SPACE_NAME_BYTES,
} from '../../memory/layout.ts';
import { type Item, MAX_ITEM_BYTES, type MemberRecord } from '../../memory/member-record.ts';
import { BACKENDS, REASONS } from '../../memory/membership.ts';

/** What a server keeps of its private truth, one plain object per key (docs/decisions/server-records.md). */

const u32 = z.int().min(0).max(0xffffffff);
const i32 = z.int().min(-0x80000000).max(0x7fffffff);
const slotId = z
  .int()
  .min(0)
  .max(MAX_SLOTS - 1);
const time = z.number().min(0);
const flag = z.boolean();

const items: z.ZodType<Item[]> = z.array(
  z.strictObject({
    type: z.enum(['address', 'label', 'listener']),
    text: z.string().min(1).max(MAX_ITEM_BYTES),
  }),
);

/** 'region': the shape, which a configuration must match, and the counters of the whole region. */
export const regionRecord = z.strictObject({
  name: z.string(),
  size: z.int().multipleOf(PAGE_BYTES),
  slots: z.int().min(2).max(MAX_SLOTS),
  vectors: z.int().min(1),
  channels: z.int().min(1).max(MAX_CHANNELS),
  /** Of the shared-memory layout. */
  minor: z.int().min(1),
  heapPage: z.int().min(1),
  uuid: z.string().regex(/^[0-9a-f]{32}$/),
  /** The newest view. */
  view: u32,
  nextListener: z.int().min(1),
});

/** 'slot.N': a slot and what its holder was last told. */
export const slotRecord = z.strictObject({
  id: slotId,
  /** SLOT_* */
  state: z.int().min(0).max(2),
  epoch: u32,
  credentials: z.strictObject({ pid: i32, uid: u32, gid: u32 }),
  /** Position of the admission rule that let it in, -1 for none. */
  rule: z.int().min(-1),
  generation: i32,
  name: z.string(),
  /** Index into BACKENDS. */
  backend: z
    .int()
    .min(0)
    .max(BACKENDS.length - 1),
  /** Of the JOIN, or of the connection while none is attached: milliseconds since 1970. */
  since: time,
  draining: flag,
  /** REASON_* that an unplug of its device counts as; 0: as what it is. */
  departure: z
    .int()
    .min(0)
    .max(REASONS.length - 1)
    .default(0),
  suspect: flag,
  /** Milliseconds after which this member wants others suspected; 0: it did not ask. */
  suspectAfter: u32,
  evicted: flag,
  lastSeq: i32,
  /** Status and results of the last reply; null before the first. */
  reply: z.array(i32).max(16).nullable(),
  /** Channel events written since HELLO, modulo 2^32. */
  events: u32,
  /** Messages of the handshake that the client's socket has taken. */
  sent: u32,
});

const side = z.strictObject({ slot: slotId, epoch: u32 });

/** 'channel.N': an open channel. */
export const channelRecord = z.strictObject({
  number: z
    .int()
    .min(1)
    .max(MAX_CHANNELS - 1),
  generation: u32.min(1),
  connector: side,
  listener: side,
  listenerId: z.int().min(1),
  firstPage: z.int().min(1),
  pages: z.int().min(1),
  queueSize: z.int().min(1),
  dataBytes: z.int().min(1),
  closed: z.int().min(0).max(7),
});

/** 'space.N': a space that is there. */
export const spaceRecord = z.strictObject({
  number: z
    .int()
    .min(0)
    .max(MAX_SPACES - 1),
  generation: u32.min(1),
  name: z.string().min(1).max(SPACE_NAME_BYTES),
  bytes: z.int().min(1),
  systemPages: z.int().min(1),
  firstPage: z.int().min(1),
  pages: z.int().min(1),
  persistent: flag,
  creator: side,
  /** Name of the creator, which may be gone. */
  createdBy: z.string(),
  /** Slots of those who have it open, the longest first: that one pays for it. */
  holders: z.array(slotId).max(MAX_SLOTS),
  /** Of a space that spreads over hosts: what they call it. `over`: it is not served any more, and goes with its last holder. */
  spread: z
    .strictObject({
      id: z.int().min(1),
      pageShift: z.int().min(12).max(21),
      // Records of a server that knew of one kind only do not say it.
      consistency: z.enum(CONSISTENCIES).default('sequential'),
      replicas: z.int().min(1).max(MOST_REPLICAS).default(1),
      over: flag,
    })
    .nullable()
    .default(null),
});

/** 'spaces': the generation of the last space that was made. */
export const spacesRecord = z.strictObject({ generation: u32 });

/** 'generation.N': of the last life of a channel number. */
export const generationRecord = z.strictObject({ generation: u32 });

/** 'listener.ID' */
export const listenerRecord = z.strictObject({ id: z.int().min(1), slot: slotId, service: z.string() });

/** 'member.N': the last record published of a slot. */
export const memberRecord: z.ZodType<MemberRecord> = z.strictObject({
  view: u32,
  kind: z.int().min(1).max(7),
  reason: z
    .int()
    .min(0)
    .max(REASONS.length - 1),
  state: z.int().min(0).max(4),
  slot: slotId,
  epoch: u32,
  generation: i32,
  time,
  name: z.string(),
  pid: i32,
  uid: u32,
  gid: u32,
  backend: z
    .int()
    .min(0)
    .max(BACKENDS.length - 1),
  listenersTruncated: flag,
  items,
});

/** 'owed.N': what a member says of itself while no view has shown it yet. */
export const owedRecord = z.strictObject({ slot: slotId, items });

export type RegionRecord = z.output<typeof regionRecord>;
export type SlotRecord = z.output<typeof slotRecord>;
export type ChannelRecord = z.output<typeof channelRecord>;
export type SpaceRecord = z.output<typeof spaceRecord>;
export type ListenerRecord = z.output<typeof listenerRecord>;
export type OwedRecord = z.output<typeof owedRecord>;

/** The records of one region, checked one by one. */
export interface RegionRecords {
  readonly region: RegionRecord;
  readonly slots: readonly SlotRecord[];
  readonly members: readonly MemberRecord[];
  readonly owed: readonly OwedRecord[];
  readonly channels: readonly ChannelRecord[];
  /** By channel number. */
  readonly generations: ReadonlyMap<number, number>;
  readonly listeners: readonly ListenerRecord[];
  readonly spaces: readonly SpaceRecord[];
  /** Of the last space; 0 before the first. */
  readonly spaceGeneration: number;
}

export const REGION_KEY = 'region';
export const slotKey = (id: number): string => `slot.${id}`;
export const memberKey = (id: number): string => `member.${id}`;
export const owedKey = (id: number): string => `owed.${id}`;
export const channelKey = (number: number): string => `channel.${number}`;
export const SPACES_KEY = 'spaces';
export const spaceKey = (number: number): string => `space.${number}`;
export const generationKey = (number: number): string => `generation.${number}`;
export const listenerKey = (id: number): string => `listener.${id}`;

/**
 * Sorts and checks what a journal holds, each record by itself; whether they go together is for whoever puts them to use.
 * Throws a ZodError, or an Error for a key that is not known or does not name its record.
 */
export function readRecords(entries: ReadonlyMap<string, unknown>): RegionRecords {
  const slots: SlotRecord[] = [];
  const members: MemberRecord[] = [];
  const owed: OwedRecord[] = [];
  const channels: ChannelRecord[] = [];
  const generations = new Map<number, number>();
  const listeners: ListenerRecord[] = [];
  const spaces: SpaceRecord[] = [];
  let spaceGeneration = 0;
  const own = (key: string, expected: string): void => {
    if (key !== expected) throw new Error(`the record of ${key} is that of ${expected}`);
  };
  for (const [key, value] of entries) {
    const [kind, number] = key.split('.');
    if (kind === 'slot') own(key, slotKey(slots[slots.push(slotRecord.parse(value)) - 1]!.id));
    else if (kind === 'member')
      own(key, memberKey(members[members.push(memberRecord.parse(value)) - 1]!.slot));
    else if (kind === 'owed') own(key, owedKey(owed[owed.push(owedRecord.parse(value)) - 1]!.slot));
    else if (kind === 'channel')
      own(key, channelKey(channels[channels.push(channelRecord.parse(value)) - 1]!.number));
    else if (kind === 'listener')
      own(key, listenerKey(listeners[listeners.push(listenerRecord.parse(value)) - 1]!.id));
    else if (kind === 'space') own(key, spaceKey(spaces[spaces.push(spaceRecord.parse(value)) - 1]!.number));
    else if (key === SPACES_KEY) spaceGeneration = spacesRecord.parse(value).generation;
    else if (kind === 'generation') generations.set(Number(number), generationRecord.parse(value).generation);
    else if (key !== REGION_KEY) throw new Error(`nothing is known of records named ${key}`);
  }
  return {
    region: regionRecord.parse(entries.get(REGION_KEY)),
    slots,
    members,
    owed,
    channels,
    generations,
    listeners,
    spaces,
    spaceGeneration,
  };
}
