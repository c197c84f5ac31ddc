import { SLOT_ATTACHED, SLOT_FREE } from '../../memory/layout.ts';
import { encodeRecord, type Item, MAX_ITEMS_BYTES, type MemberRecord } from '../../memory/member-record.ts';
import {
  STATE_ACTIVE,
  STATE_FREE,
  STATE_JOINING,
  STATE_LEAVING,
  STATE_SUSPECT,
} from '../../memory/membership.ts';
import { memberKey, type OwedRecord, owedKey, REGION_KEY, type RegionRecord } from '../records/records.ts';
import type { Transaction } from '../records/transaction.ts';
import type { Publication } from './publication.ts';
import type { Services } from './services.ts';
import type { Slot } from './slots.ts';

/** What a region is from its making to its end; the rest of its record changes. */
export type Shape = Omit<RegionRecord, 'view' | 'nextListener'>;

/** One change of who is here. */
export interface Change {
  readonly kind: number;
  readonly reason: number;
  /** The slot as it is now; for a leave as it was. */
  readonly slot: Slot;
  readonly state: number;
  /** Milliseconds since 1970. */
  readonly time: number;
}

/** The state that others see of a slot. */
export function publicState(slot: Slot): number {
  if (slot.state === SLOT_FREE) return STATE_FREE;
  if (slot.state !== SLOT_ATTACHED) return STATE_JOINING;
  if (slot.suspect) return STATE_SUSPECT;
  return slot.draining ? STATE_LEAVING : STATE_ACTIVE;
}

/** Who is here, as numbered views: numbers them, keeps their records, and has them written to shared memory. */
export class Views {
  readonly #shape: Shape;
  readonly #services: Services;
  readonly #records: (MemberRecord | null)[];
  readonly #descriptions = new Map<number, readonly Item[]>();
  /** Slots with an update that no view has shown. */
  readonly #owed = new Set<number>();
  readonly #published: (record: MemberRecord) => void;
  readonly #publications: Publication[] = [];
  #view = 0;

  /** `published` is told of each view when it is in shared memory. */
  constructor(shape: Shape, services: Services, published: (record: MemberRecord) => void) {
    this.#shape = shape;
    this.#services = services;
    this.#published = published;
    this.#records = new Array<MemberRecord | null>(shape.slots).fill(null);
  }

  /** Goes on with the records of an earlier server, before anything is published. */
  restore(records: readonly MemberRecord[], owed: readonly OwedRecord[], view: number): void {
    this.#view = view;
    for (const record of records) this.#records[record.slot] = record;
    // What is owed is newer than what was shown.
    for (const { slot, items } of [...records, ...owed]) {
      this.#descriptions.set(
        slot,
        items.filter(({ type }) => type !== 'listener'),
      );
    }
    for (const { slot } of owed) this.#owed.add(slot);
  }

  /** Where views go from now on; what it holds is written anew. */
  publishTo(publication: Publication): void {
    this.#publications.push(publication);
    publication.rewrite(this.#encoded(), this.#view);
  }

  get view(): number {
    return this.#view;
  }

  /** The record that made the newest view, encoded; null before the first. */
  get newest(): Int32Array | null {
    const record = this.#records.find((each) => each !== null && each.view === this.#view);
    return record ? encodeRecord(record) : null;
  }

  /** The last record of each slot; null for one that was never given to anybody. */
  get records(): readonly (MemberRecord | null)[] {
    return this.#records;
  }

  regionRecord(): RegionRecord {
    return { ...this.#shape, view: this.#view, nextListener: this.#services.nextId };
  }

  /** Replaces what a member says of itself, to be seen with the next change. Items other than listeners, and they fit. */
  describe(slot: number, items: readonly Item[]): void {
    this.#descriptions.set(slot, items);
  }

  /** What changed is for a later view of this slot; what else is known of it is in other records. */
  owe(tx: Transaction, slot: number): void {
    this.#owed.add(slot);
    const record: OwedRecord = { slot, items: [...(this.#descriptions.get(slot) ?? [])] };
    tx.put(owedKey(slot), record);
  }

  owes(slot: number): boolean {
    return this.#owed.has(slot);
  }

  /** Makes the next view of a change that has happened. It shows what was owed. */
  publish(tx: Transaction, { kind, reason, slot, state, time }: Change): void {
    this.#view = nextView(this.#view);
    if (state <= STATE_JOINING) this.#descriptions.delete(slot.id);
    if (this.#owed.delete(slot.id)) tx.put(owedKey(slot.id), null);
    const { items, truncated } = this.#items(slot.id);
    const record: MemberRecord = {
      view: this.#view,
      kind,
      reason,
      state,
      slot: slot.id,
      epoch: slot.epoch,
      generation: slot.generation,
      time,
      name: slot.name,
      ...slot.credentials,
      backend: slot.backend,
      listenersTruncated: truncated,
      items,
    };
    this.#records[slot.id] = record;
    tx.put(memberKey(slot.id), record);
    tx.put(REGION_KEY, this.regionRecord());
    const words = encodeRecord(record);
    tx.after(() => {
      for (const publication of this.#publications) publication.write(slot.id, words, record.view);
      this.#published(record);
    });
  }

  /** Writes the shared tables again, for a member that found one damaged. */
  repair(): void {
    for (const publication of this.#publications) publication.repair(this.#encoded(), this.#view);
  }

  #encoded(): (Int32Array | null)[] {
    return this.#records.map((record) => (record === null ? null : encodeRecord(record)));
  }

  /** Its description, and as many of its listeners as there is room for. */
  #items(slot: number): { items: Item[]; truncated: boolean } {
    const items = [...(this.#descriptions.get(slot) ?? [])];
    let left = MAX_ITEMS_BYTES - items.reduce((sum, item) => sum + itemBytes(item), 0);
    for (const { service } of this.#services.of(slot)) {
      const item: Item = { type: 'listener', text: service };
      left -= itemBytes(item);
      if (left < 0) return { items, truncated: true };
      items.push(item);
    }
    return { items, truncated: false };
  }
}

/** As encodeItems writes it: type, length, text. */
function itemBytes({ text }: Item): number {
  return 2 + Buffer.byteLength(text);
}

/** View numbers go on from 2^32 - 1 at 1: view 0 is before the first one. */
export function nextView(view: number): number {
  return (view + 1) >>> 0 || 1;
}
