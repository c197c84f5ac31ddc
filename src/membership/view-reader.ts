import type { MemberRecord } from '../memory/member-record.ts';
import { readTable } from '../memory/member-table.ts';
import {
  COPY_VIEW,
  COPY_WORDS,
  LOG_LINES,
  MEMBERSHIP_W,
  type MembershipPlace,
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
      if (result === 'end') return this.#tableIsAhead() ? this.adopt(changes, false) : 'current';
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
   * Takes the table, and the log from there. A table older than what is known is damage, for the server writes it at once;
   * `force` believes it all the same: the server has just written it again, so what was known was forged.
   */
  adopt(changes: Change[], force: boolean): ReadResult {
    const table = readTable(this.#words, this.#place);
    if ('damaged' in table) return table;
    const records = [...table.records];
    let { view, logEnd: position } = table;
    for (let n = 0; n < LOG_LINES; n++) {
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

  /** The server moves the log's end before it turns the table: a table ahead of a log that ends tells that the log lies. */
  #tableIsAhead(): boolean {
    const words = this.#words;
    const current = Atomics.load(words, this.#place.header + MEMBERSHIP_W.current) & 1;
    const view = Atomics.load(
      words,
      this.#place.header + MEMBERSHIP_W.copy + current * COPY_WORDS + COPY_VIEW,
    );
    return ((view - this.#view) | 0) > 0;
  }
}

/** View numbers go on from 2^32 - 1 at 1: 0 is no view. */
function follows(view: number, next: number): boolean {
  return next === ((view + 1) >>> 0 || 1);
}
