import {
  MAX_SPACES,
  OPEN_EXISTING,
  OPEN_NEW,
  PAGE_BYTES,
  SERVER_SLOT,
  STATUS_NO_MEMORY,
  STATUS_NO_SPACE,
  STATUS_OK,
  STATUS_QUOTA,
  STATUS_SPACE_DIFFERS,
  STATUS_SPACE_EXISTS,
  SYSTEM_PAGES,
} from '../../memory/layout.ts';
import type { PageAllocator } from '../records/allocator.ts';
import type { Ledger } from '../records/ledger.ts';
import { SPACES_KEY, type SpaceRecord, spaceKey } from '../records/records.ts';
import type { Transaction } from '../records/transaction.ts';
import type { SpaceOpen } from './requests.ts';
import type { Slot } from './slots.ts';

export type { SpaceRecord } from '../records/records.ts';

/** What the spaces do to the shared memory. */
export interface SpaceEffects {
  /** At once, while nobody uses these pages. */
  zeroPages(firstPage: number, pages: number): void;
  writeSpace(space: Readonly<SpaceRecord>): void;
  freeSpace(number: number): void;
}

export interface Opened {
  readonly status: number;
  readonly space: Readonly<SpaceRecord> | null;
  readonly created: boolean;
}

/** What a host gives to a space that spreads over several. */
export type SpreadPart = Pick<SpaceRecord, 'name' | 'bytes' | 'systemPages' | 'pages' | 'persistent'> &
  Omit<NonNullable<SpaceRecord['spread']>, 'over'>;

/** Half of the table for what nobody needs to hold. */
const MOST_PERSISTENT = MAX_SPACES / 2;

const refused = (status: number): Opened => ({ status, space: null, created: false });

/**
 * The spaces of a region and who holds them. A space is charged to its creator, and once that one has let go of it to who has held
 * it the longest; a persistent one besides to the server's own slot, so that not even members that come and go can fill the
 * region with what nobody holds.
 */
export class Spaces {
  readonly #effects: SpaceEffects;
  readonly #allocator: PageAllocator;
  readonly #ledger: Ledger;
  readonly #byNumber = new Map<number, SpaceRecord>();
  readonly #byName = new Map<string, SpaceRecord>();
  #generation = 0;

  constructor(allocator: PageAllocator, ledger: Ledger, effects: SpaceEffects) {
    this.#allocator = allocator;
    this.#ledger = ledger;
    this.#effects = effects;
  }

  /** As they were; `allocator` has their pages free yet. Throws a RangeError when they cannot have been there at the same time. */
  restore(records: readonly SpaceRecord[], generation: number, attached: (slot: number) => boolean): void {
    this.#generation = generation;
    const generations = new Set<number>();
    for (const record of records) {
      const space = { ...record, holders: [...record.holders] };
      const refuse = (why: string): never => {
        throw new RangeError(`space ${space.number} ${why}`);
      };
      const served = space.spread === null || !space.spread.over;
      if (this.#byNumber.has(space.number) || (served && this.#byName.has(space.name)))
        refuse('is there twice');
      if (generations.has(space.generation)) refuse('has the generation of another');
      if (space.spread === null && pagesOf(space.bytes, space.systemPages) !== space.pages)
        refuse('has memory of another size');
      if (!space.holders.every((slot) => slot !== SERVER_SLOT && attached(slot)))
        refuse('has a holder that is not there');
      if (new Set(space.holders).size !== space.holders.length) refuse('has a holder twice');
      if (space.holders.length === 0 && !space.persistent && space.spread === null) refuse('has no holder');
      if (!this.#allocator.claim(space.firstPage, space.pages)) refuse('has memory that is not free');
      generations.add(space.generation);
      this.#add(space);
    }
  }

  get all(): Iterable<Readonly<SpaceRecord>> {
    return this.#byNumber.values();
  }

  /** The request was checked. */
  open(tx: Transaction, slot: Slot, { mode, persistent, bytes, name }: SpaceOpen): Opened {
    const known = this.#byName.get(name);
    if (known === undefined) {
      return mode === OPEN_EXISTING
        ? refused(STATUS_NO_SPACE)
        : this.#create(tx, slot, name, bytes, persistent);
    }
    if (known.spread !== null) return refused(STATUS_SPACE_DIFFERS);
    if (mode === OPEN_NEW) return refused(STATUS_SPACE_EXISTS);
    if (bytes > known.bytes) return refused(STATUS_SPACE_DIFFERS);
    if (!known.holders.includes(slot.id)) {
      this.#change(tx, known, () => known.holders.push(slot.id));
    }
    return { status: STATUS_OK, space: known, created: false };
  }

  /** Spread spaces that are served here; `over` ones only hold their memory. */
  *spread(): Iterable<Readonly<SpaceRecord> & { readonly spread: NonNullable<SpaceRecord['spread']> }> {
    for (const space of this.#byNumber.values())
      if (space.spread !== null && !space.spread.over) yield { ...space, spread: space.spread };
  }

  /** This host's part of a space that spreads, without holders yet. Its memory is zero. Null: there is no room, or the name is taken. */
  addSpread(tx: Transaction, part: SpreadPart): Readonly<SpaceRecord> | null {
    const number = this.#freeNumber();
    if (number === null || this.#byName.has(part.name)) return null;
    const firstPage = this.#allocator.allocate(part.pages);
    if (firstPage === null) return null;
    this.#effects.zeroPages(firstPage, part.pages);
    const { id, pageShift, consistency, replicas, ...rest } = part;
    return this.#made(tx, {
      ...rest,
      number,
      generation: this.#nextGeneration(),
      firstPage,
      creator: { slot: SERVER_SLOT, epoch: 0 },
      createdBy: '',
      holders: [],
      spread: { id, pageShift, consistency, replicas, over: false },
    });
  }

  /** A member opens a spread space that is served here. */
  holdSpread(tx: Transaction, slot: number, number: number): void {
    const space = this.#byNumber.get(number);
    if (space === undefined || space.holders.includes(slot)) return;
    this.#change(tx, space, () => space.holders.push(slot));
  }

  /** A spread space is served here no longer: its memory goes with its last holder, who may still map it. */
  dropSpread(tx: Transaction, number: number): void {
    const space = this.#byNumber.get(number);
    const { spread } = space ?? {};
    if (space === undefined || spread === null || spread === undefined || spread.over) return;
    this.#byName.delete(space.name);
    this.#change(tx, space, () => {
      space.persistent = false;
      space.spread = { ...spread, over: true };
    });
  }

  /** A member lets go of a space it has open. */
  close(tx: Transaction, slot: number, number: number, generation: number): number {
    const space = this.#byNumber.get(number);
    if (space === undefined || space.generation !== generation || !space.holders.includes(slot))
      return STATUS_NO_SPACE;
    this.#leave(tx, space, slot);
    return STATUS_OK;
  }

  /** The holder of a slot left, or died. */
  closeAll(tx: Transaction, slot: number): void {
    for (const space of [...this.#byNumber.values()])
      if (space.holders.includes(slot)) this.#leave(tx, space, slot);
  }

  /** Whether there is one by that name that does not spread. */
  local(name: string): boolean {
    return this.#byName.get(name)?.spread === null;
  }

  /** It is to go with its last holder, at once without one. How many there are; null: there is no such space. */
  remove(tx: Transaction, name: string): number | null {
    const space = this.#byName.get(name);
    // Of one that spreads the hosts decide.
    if (space === undefined || space.spread !== null) return null;
    const holders = space.holders.length;
    if (space.persistent) {
      this.#change(tx, space, () => {
        space.persistent = false;
      });
    }
    return holders;
  }

  #create(tx: Transaction, slot: Slot, name: string, bytes: number, persistent: boolean): Opened {
    // Only who made it can say how large it is.
    if (bytes === 0) return refused(STATUS_NO_SPACE);
    const pages = pagesOf(bytes, SYSTEM_PAGES);
    if (!this.#ledger.has(slot.id, 'spaces', pages)) return refused(STATUS_QUOTA);
    const kept = this.#ledger.of(SERVER_SLOT);
    if (persistent && (kept.spaces >= MOST_PERSISTENT || kept.pages + pages > this.#ledger.quota.pages))
      return refused(STATUS_QUOTA);
    const number = this.#freeNumber();
    const firstPage = number === null ? null : this.#allocator.allocate(pages);
    if (number === null || firstPage === null) return refused(STATUS_NO_MEMORY);
    this.#effects.zeroPages(firstPage, pages);
    const creator = { slot: slot.id, epoch: slot.epoch };
    const space = this.#made(tx, {
      number,
      generation: this.#nextGeneration(),
      name,
      bytes,
      systemPages: SYSTEM_PAGES,
      firstPage,
      pages,
      persistent,
      creator,
      createdBy: slot.name,
      holders: [slot.id],
      spread: null,
    });
    return { status: STATUS_OK, space, created: true };
  }

  #made(tx: Transaction, space: SpaceRecord): SpaceRecord {
    this.#add(space);
    tx.put(SPACES_KEY, { generation: this.#generation });
    this.#keep(tx, space);
    return space;
  }

  #nextGeneration(): number {
    // 0 is skipped: it is what an entry says that was never used.
    this.#generation = this.#generation === 0xffffffff ? 1 : this.#generation + 1;
    return this.#generation;
  }

  #leave(tx: Transaction, space: SpaceRecord, slot: number): void {
    this.#change(tx, space, () => space.holders.splice(space.holders.indexOf(slot), 1));
  }

  /** Changes holders or persistence, who pays, and with that whether it is there at all. */
  #change(tx: Transaction, space: SpaceRecord, change: () => void): void {
    this.#charge(space, -1);
    change();
    const served = space.spread !== null && !space.spread.over;
    if (space.holders.length > 0 || space.persistent || served) {
      this.#charge(space, 1);
      this.#keep(tx, space);
      return;
    }
    const { number, name, firstPage } = space;
    this.#byNumber.delete(number);
    if (this.#byName.get(name) === space) this.#byName.delete(name);
    this.#allocator.release(firstPage);
    tx.put(spaceKey(number), null);
    tx.after(() => {
      // It may be another one's by now.
      if (!this.#byNumber.has(number)) this.#effects.freeSpace(number);
    });
  }

  #keep(tx: Transaction, space: SpaceRecord): void {
    tx.put(spaceKey(space.number), { ...space, holders: [...space.holders] });
    tx.after(() => {
      if (this.#byNumber.get(space.number) === space) this.#effects.writeSpace(space);
    });
  }

  #add(space: SpaceRecord): void {
    this.#byNumber.set(space.number, space);
    if (space.spread === null || !space.spread.over) this.#byName.set(space.name, space);
    this.#charge(space, 1);
  }

  #charge({ holders, persistent, pages, spread }: SpaceRecord, sign: 1 | -1): void {
    // Bounded by what the configuration lets hosts share.
    if (spread !== null) return;
    const payer = holders[0];
    if (payer !== undefined) this.#ledger.charge(payer, 'spaces', pages, sign);
    if (persistent) this.#ledger.charge(SERVER_SLOT, 'spaces', pages, sign);
  }

  #freeNumber(): number | null {
    for (let number = 0; number < MAX_SPACES; number++) if (!this.#byNumber.has(number)) return number;
    return null;
  }
}

function pagesOf(bytes: number, systemPages: number): number {
  return systemPages + Math.ceil(bytes / PAGE_BYTES);
}
