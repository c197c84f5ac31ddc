import { LOG_BYTES, RECORD_BYTES } from '../../memory/layout.ts';
import { TableWriter } from '../../memory/member-table.ts';
import {
  COPY_LOG_END,
  COPY_VIEW,
  COPY_WORDS,
  LOG_LINES,
  MEMBERSHIP_W,
  type MembershipPlace,
} from '../../memory/membership.ts';
import { type LogRead, LogWriter, readLog } from '../../memory/view-log.ts';
import { nextView } from './views.ts';

/** One membership part that the server writes: that of the region, or of its directory. */
export class Publication {
  readonly #words: Int32Array;
  readonly #place: MembershipPlace;
  readonly #table: TableWriter;
  readonly #log: LogWriter;

  /** `view`: the newest one in the records, 0 for a fresh part; `newest`: its record. `words`: live. */
  constructor(words: Int32Array, place: MembershipPlace, view: number, newest: Int32Array | null = null) {
    this.#words = words;
    this.#place = place;
    this.#log = this.#openLog(view, newest);
    this.#table = new TableWriter(words, place);
    this.#writeHeader();
  }

  /** The record of a new view. */
  write(slot: number, record: Int32Array, view: number): void {
    this.#log.append(record);
    this.#table.write(slot, record, view, this.#log.end);
  }

  /** The whole table again, whatever was scribbled there, and an empty log behind it. */
  repair(records: readonly (Int32Array | null)[], view: number): void {
    this.#log.repair();
    this.rewrite(records, view);
  }

  /** The whole table again, for readers that go on with the log. */
  rewrite(records: readonly (Int32Array | null)[], view: number): void {
    this.#writeHeader();
    this.#table.rewrite(records, view, this.#log.end);
  }

  #writeHeader(): void {
    this.#words[this.#place.header + MEMBERSHIP_W.recordBytes] = RECORD_BYTES;
    this.#words[this.#place.header + MEMBERSHIP_W.logBytes] = LOG_BYTES;
  }

  /**
   * The table says which view was the last that an earlier server finished. When that is the one in the records the log is whole
   * and its readers may go on. When it is the one before, that server died between keeping the newest view and finishing it, and
   * the log may have it already. Else the log's end jumps so far that all readers find themselves behind and take the table.
   */
  #openLog(view: number, newest: Int32Array | null): LogWriter {
    const words = this.#words;
    const { header } = this.#place;
    const copy = header + MEMBERSHIP_W.copy + (words[header + MEMBERSHIP_W.current]! & 1) * COPY_WORDS;
    const finished = words[copy + COPY_VIEW]! >>> 0;
    const start = words[header + MEMBERSHIP_W.logStart]!;
    const end = words[header + MEMBERSHIP_W.logEnd]!;
    const length = (end - start) | 0;
    const whole = length >= 0 && length <= LOG_LINES;
    if (whole && finished === view) return new LogWriter(words, this.#place, end, start);
    if (whole && newest !== null && nextView(finished) === view) {
      const logged = readLog(words, this.#place, words[copy + COPY_LOG_END]!);
      const log = new LogWriter(words, this.#place, end, start);
      if (logged === 'end') log.append(newest);
      if (logged === 'end' || hasView(logged, view, end)) return log;
    }
    return new LogWriter(words, this.#place, (end + 2 * LOG_LINES) | 0);
  }
}

/** The log has this view as its last. */
function hasView(logged: LogRead, view: number, end: number): boolean {
  return typeof logged === 'object' && logged.record.view === view && logged.next === end;
}
