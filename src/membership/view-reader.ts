import { type MemberRecord, RECORD_W } from '../memory/member-record.ts';
import { readTable } from '../memory/member-table.ts';
import {
  COPY_SEQUENCE,
  COPY_VIEW,
  COPY_WORDS,
  LOG_LINES,
  MEMBERSHIP_W,
  type MembershipPlace,
  RECORD_WORDS,
} from '../memory/membership.ts';
import { readLog } from '../memory/view-log.ts';
import { type Change, changesOf, difference } from './changes.ts';

/** `current`: all that was published is known. `more`: come back, others have their turn. Else what is wrong. */
export type ReadResult = 'current' | 'more' | { readonly damaged: string };

/**
 * Follows the views: record by record in the log, and by the difference of two tables when it fell behind or the log makes no
 * sense. Nothing it reads is trusted; what it knows are private copies.
 */
export class ViewReader {
  readonly #words: Int32Array;
  readonly #place: MembershipPlace;
  #records: (MemberRecord | null)[];
  #view = 0;
  #position = 0;
  #started = false;

  constructor(words: Int32Array, place: MembershipPlace) {
    this.#words = words;
    this.#place = place;
    this.#records = new Array<MemberRecord | null>(place.slots).fill(null);
  }

  /** Number of the view that `records` are as of; 0 before the first. */
  get view(): number {
    return this.#view;
  }

  /** By slot; null for one never used. */
  get records(): readonly (MemberRecord | null)[] {
    return this.#records;
  }

  /** Takes up what was published since the last call, and appends what happened to `changes`. */
  read(changes: Change[]): ReadResult {
    if (!this.#started) return this.adopt(changes, false);
    for (let n = 0; n < LOG_LINES; n++) {
      const result = readLog(this.#words, this.#place, this.#position);
      if (result === 'end') return this.#agreesWithTable() ? 'current' : this.adopt(changes, false);
      if (typeof result === 'string' || !follows(this.#view, result.record.view))
        return this.adopt(changes, false);
      const { record, next } = result;
      const before = this.#records[record.slot] ?? null;
      this.#records[record.slot] = record;
      this.#view = record.view;
      this.#position = next;
      changes.push(...changesOf(record.slot, before, record, record.view));
    }
    return 'more';
  }

  /**
   * Takes the table, and the log from there. A table older than what is known is damage, for the server writes it at once.
   * `force` believes the table and nothing else: the server has just written it again, so what was known otherwise was forged.
   */
  adopt(changes: Change[], force: boolean): ReadResult {
    const table = readTable(this.#words, this.#place);
    if ('damaged' in table) return table;
    const records = [...table.records];
    let { view, logEnd: position } = table;
    // What the server has just written is all there is; behind it in the log stands what made us ask.
    for (let n = 0; n < LOG_LINES && !force; n++) {
      const result = readLog(this.#words, this.#place, position);
      if (typeof result === 'string' || !follows(view, result.record.view)) break;
      records[result.record.slot] = result.record;
      view = result.record.view;
      position = result.next;
    }
    if (this.#started && !force && ((view - this.#view) | 0) < 0)
      return { damaged: `the table is of view ${view}, after view ${this.#view}` };
    if (this.#started) changes.push(...difference(this.#records, records, view));
    this.#records = records;
    this.#view = view;
    this.#position = position;
    this.#started = true;
    return 'current';
  }

  /**
   * Whether the table knows of no other views than the log did. One ahead of a log that ends tells that the log's end was turned
   * back; one of the same view with other records, that a record of the log was forged. One behind is being written, and its
   * writer will tell us.
   */
  #agreesWithTable(): boolean {
    const words = this.#words;
    const { header, tables, slots } = this.#place;
    const current = Atomics.load(words, header + MEMBERSHIP_W.current) & 1;
    const at = header + MEMBERSHIP_W.copy + current * COPY_WORDS;
    const sequence = Atomics.load(words, at + COPY_SEQUENCE);
    const ahead = (words[at + COPY_VIEW]! - this.#view) | 0;
    if (ahead !== 0) return ahead < 0;
    for (let slot = 0; slot < slots; slot++) {
      const view = words[tables[current]! + slot * RECORD_WORDS + RECORD_W.view]! >>> 0;
      // It may have become another copy's turn meanwhile: then somebody will tell us of a new view.
      if (view !== (this.#records[slot]?.view ?? 0))
        return Atomics.load(words, at + COPY_SEQUENCE) !== sequence;
    }
    return true;
  }
}

/** View numbers go on from 2^32 - 1 at 1: 0 is no view. */
function follows(view: number, next: number): boolean {
  return next === ((view + 1) >>> 0 || 1);
}
