import { decodeRecord, FIXED_WORDS, type MemberRecord, RECORD_W, recordWords } from './member-record.ts';
import {
  COPY_LOG_END,
  COPY_SEQUENCE,
  COPY_VIEW,
  COPY_WORDS,
  MEMBERSHIP_W,
  type MembershipPlace,
  RECORD_WORDS,
} from './membership.ts';
import { loadAcquire } from './order.ts';

/** A consistent copy of the whole table. */
export interface Snapshot {
  readonly view: number;
  /** Where the log goes on from this view. */
  readonly logEnd: number;
  /** By slot; null for one that was never used. */
  readonly records: readonly (MemberRecord | null)[];
}

/** A record of the table has a wrong checksum or makes no sense; `slot` says whose. */
export interface Damage {
  readonly damaged: string;
}

/** A writer can spoil an attempt only by two changes during one copy: this many in a row mean that nobody finishes. */
const ATTEMPTS = 1000;

/**
 * Copies the finished table of the two. Never waits for the writer and never makes it wait; a writer that died half-way
 * left the other copy unfinished. `words`: live, of the whole region up to the heap.
 */
export function readTable(words: Int32Array, place: MembershipPlace): Snapshot | Damage {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    // Acquire: pairs with the writer's release of `current`, after which that copy is whole.
    const which = loadAcquire(words, place.header + MEMBERSHIP_W.current) & 1;
    const at = place.header + MEMBERSHIP_W.copy + which * COPY_WORDS;
    // Sequentially consistent on both sides of the copy: pairs with the writer's stores around its changes.
    const sequence = Atomics.load(words, at + COPY_SEQUENCE);
    if (sequence & 1) continue;
    const view = words[at + COPY_VIEW]! >>> 0;
    const logEnd = words[at + COPY_LOG_END]!;
    const table = place.tables[which]!;
    const copy = words.slice(table, table + place.slots * RECORD_WORDS);
    if (Atomics.load(words, at + COPY_SEQUENCE) !== sequence) continue;
    return decodeTable(copy, place.slots, view, logEnd);
  }
  return { damaged: 'no copy of it is ever finished' };
}

function decodeTable(copy: Int32Array, slots: number, view: number, logEnd: number): Snapshot | Damage {
  const records: (MemberRecord | null)[] = [];
  for (let slot = 0; slot < slots; slot++) {
    const words = copy.subarray(slot * RECORD_WORDS, (slot + 1) * RECORD_WORDS);
    if (isUnused(words)) {
      records.push(null);
      continue;
    }
    const record = decodeRecord(words, slots);
    if (record === null || record.slot !== slot) return { damaged: `the record of slot ${slot}` };
    records.push(record);
  }
  return { view, logEnd, records };
}

/** Never written: view 0 does not exist. */
function isUnused(words: Int32Array): boolean {
  return words[RECORD_W.view] === 0 && words[RECORD_W.checksum] === 0 && recordWords(words) === FIXED_WORDS;
}

/** The server's hand on the table. It keeps the words of all records itself: what members scribble is written over. */
export class TableWriter {
  readonly #words: Int32Array;
  readonly #place: MembershipPlace;
  readonly #records: (Int32Array | null)[];
  /** Per copy: slots whose record it has not got yet. */
  readonly #behind: readonly [Set<number>, Set<number>] = [new Set(), new Set()];
  readonly #sequence = [0, 0];
  #current = 0;

  constructor(words: Int32Array, place: MembershipPlace) {
    this.#words = words;
    this.#place = place;
    this.#records = new Array<Int32Array | null>(place.slots).fill(null);
    this.#sequence = [0, 1].map((copy) => words[this.#copyAt(copy) + COPY_SEQUENCE]! & ~1);
    // After a restart: the copy that members read now stays whole while the other one is written first.
    this.#current = words[place.header + MEMBERSHIP_W.current]! & 1;
  }

  /** Puts one record, encoded, into the next copy and makes that the current one. */
  write(slot: number, record: Int32Array, view: number, logEnd: number): void {
    this.#records[slot] = record;
    for (const behind of this.#behind) behind.add(slot);
    this.#turn(view, logEnd);
  }

  /** Writes both copies anew from what this writer knows, whatever is in them; null records become unused ones. */
  rewrite(records: readonly (Int32Array | null)[], view: number, logEnd: number): void {
    for (let slot = 0; slot < this.#place.slots; slot++) {
      this.#records[slot] = records[slot] ?? null;
      for (const behind of this.#behind) behind.add(slot);
    }
    this.#turn(view, logEnd);
    this.#turn(view, logEnd);
  }

  #turn(view: number, logEnd: number): void {
    const words = this.#words;
    const copy = this.#current ^ 1;
    const at = this.#copyAt(copy);
    // The order: odd sequence, records, even sequence, current. Pairs with the loads around the copy in readTable.
    const sequence = (this.#sequence[copy]! + 2) | 0;
    this.#sequence[copy] = sequence;
    Atomics.store(words, at + COPY_SEQUENCE, sequence - 1);
    for (const slot of this.#behind[copy]!) this.#put(copy, slot);
    this.#behind[copy]!.clear();
    words[at + COPY_VIEW] = view;
    words[at + COPY_LOG_END] = logEnd;
    Atomics.store(words, at + COPY_SEQUENCE, sequence);
    Atomics.store(words, this.#place.header + MEMBERSHIP_W.current, copy);
    this.#current = copy;
  }

  #put(copy: number, slot: number): void {
    const at = this.#place.tables[copy]! + slot * RECORD_WORDS;
    const record = this.#records[slot];
    this.#words.fill(0, at, at + RECORD_WORDS);
    if (record) this.#words.set(record, at);
  }

  #copyAt(copy: number): number {
    return this.#place.header + MEMBERSHIP_W.copy + copy * COPY_WORDS;
  }
}
