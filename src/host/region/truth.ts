import { randomBytes } from 'node:crypto';
import type { NewHeader } from '../../memory/header.ts';
import { LAYOUT_MINOR, PAGE_BYTES, SLOT_ATTACHED, SPACES_MINOR, tablePages } from '../../memory/layout.ts';
import type { MemberRecord } from '../../memory/member-record.ts';
import type { RegionConfig } from '../config/schema.ts';
import { type AllocatorEffects, PageAllocator } from '../records/allocator.ts';
import { Ledger } from '../records/ledger.ts';
import type { RegionRecords } from '../records/records.ts';
import type { Credentials } from './admission.ts';
import { type ChannelEffects, Channels } from './channels.ts';
import { Services } from './services.ts';
import { SlotTable } from './slots.ts';
import { type SpaceEffects, Spaces } from './spaces.ts';
import { type Shape, Views } from './views.ts';

/** The private truth of a region: what the shared tables are written from, and what is kept over a restart. */
export interface Truth {
  readonly shape: Shape;
  readonly slots: SlotTable;
  readonly services: Services;
  readonly allocator: PageAllocator;
  /** Who pays for channels and spaces. */
  readonly ledger: Ledger;
  readonly channels: Channels;
  /** Null in a region that a server of layout 1.1 made. */
  readonly spaces: Spaces | null;
  readonly views: Views;
}

/** The shape that a configuration asks for; `minor`: of a region that an older server made, which stays what it is. */
export function shapeOf(config: RegionConfig, uuid: string, minor = LAYOUT_MINOR): Shape {
  const { name, size, slots, vectors, channels } = config;
  const { heapPage } = tablePages(slots, channels, minor);
  return { name, size, slots, vectors, channels, minor, heapPage, uuid };
}

export function headerOf({ name, size, slots, vectors, channels, uuid, minor }: Shape): NewHeader {
  return { minor, regionBytes: size, slots, vectors, channels, uuid: Buffer.from(uuid, 'hex'), name };
}

/**
 * What of the shape of a kept region a configuration contradicts, as 'size is 1048576, not 2097152'; null when it fits. Quotas,
 * admission and the like may change over a restart; these cannot, for members have mapped them.
 */
export function contradiction(config: RegionConfig, kept: Shape): string | null {
  // A newer server than this one may have parts in it that this one would give to channels.
  const minor = Math.min(kept.minor, LAYOUT_MINOR);
  for (const [field, value] of Object.entries(shapeOf(config, kept.uuid, minor))) {
    const was = kept[field as keyof Shape];
    if (was !== value) return `${field} is ${value}, and was ${was}`;
  }
  return null;
}

/**
 * A fresh truth, or that of the records of an earlier server. Throws a RangeError when records contradict each other or do not
 * fit the configuration.
 */
export function buildTruth(
  config: RegionConfig,
  eventfds: readonly (readonly number[])[],
  own: Credentials,
  records: RegionRecords | null,
  effects: AllocatorEffects & ChannelEffects & SpaceEffects,
  published: (record: MemberRecord) => void,
): Truth {
  const { slots, channels, size, quota } = config;
  const fresh = shapeOf(
    config,
    records?.region.uuid ?? randomBytes(16).toString('hex'),
    records === null ? LAYOUT_MINOR : Math.min(records.region.minor, LAYOUT_MINOR),
  );
  const heapPages = size / PAGE_BYTES - fresh.heapPage;
  const allocator = new PageAllocator(fresh.heapPage, heapPages, effects);
  const ledger = new Ledger(slots, { ...quota, pages: Math.floor(heapPages * quota.heap) });
  if (records === null) {
    const services = new Services();
    return {
      shape: fresh,
      slots: new SlotTable(eventfds, own),
      services,
      allocator,
      ledger,
      channels: new Channels(slots, channels, allocator, ledger, effects),
      spaces: new Spaces(allocator, ledger, effects),
      views: new Views(fresh, services, published),
    };
  }
  const { view, nextListener, ...shape } = records.region;
  const why = contradiction(config, shape);
  if (why !== null) throw new RangeError(why);
  const services = Services.restore(records.listeners, nextListener);
  const views = new Views(shape, services, published);
  views.restore(records.members, records.owed, view);
  const table = SlotTable.restore(eventfds, own, records.slots);
  for (const { slot } of records.owed) {
    if (table.slots[slot]?.state !== SLOT_ATTACHED)
      throw new RangeError(`slot ${slot} has nothing to update`);
  }
  const open = Channels.restore(
    slots,
    channels,
    allocator,
    ledger,
    effects,
    records.channels,
    records.generations,
  );
  const spaces = shape.minor < SPACES_MINOR ? null : new Spaces(allocator, ledger, effects);
  spaces?.restore(
    records.spaces,
    records.spaceGeneration,
    (slot) => table.slots[slot]?.state === SLOT_ATTACHED,
  );
  return { shape, slots: table, services, allocator, ledger, channels: open, spaces, views };
}
