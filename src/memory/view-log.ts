import { decodeRecord, FIXED_WORDS, type MemberRecord, RECORD_W, recordWords } from './member-record.ts';
import { KIND_PAD, LOG_LINE_BYTES, LOG_LINES, MEMBERSHIP_W, type MembershipPlace } from './membership.ts';

const LINE_WORDS = LOG_LINE_BYTES / 4;

/**
 * The server's end of the view log: a ring of 64-byte lines. A record takes whole lines and never goes over the ring's end:
 * a pad fills what is left there. Positions count lines, modulo 2^32.
 */
export class LogWriter {
  readonly #words: Int32Array;
  readonly #place: MembershipPlace;
  #start: number;
  #end: number;

  /** Goes on at `end` with what is there from `start` on, by default nothing: readers that are elsewhere take the table. */
  constructor(words: Int32Array, place: MembershipPlace, end = 0, start = end) {
    this.#words = words;
    this.#place = place;
    this.#start = start | 0;
    this.#end = end | 0;
    this.#storeStart();
    this.#storeEnd();
  }

  get end(): number {
    return this.#end;
  }

  append(record: Int32Array): void {
    const lines = Math.ceil(record.length / LINE_WORDS);
    const left = LOG_LINES - (this.#end & (LOG_LINES - 1));
    if (left < lines) this.#write(new Int32Array([0, KIND_PAD]), left);
    this.#write(record, lines);
    this.#storeEnd();
  }

  /** Says again where the log is, whatever was scribbled over that, with nothing in it: its readers take the table. */
  repair(): void {
    this.#start = this.#end;
    this.#storeStart();
    this.#storeEnd();
  }

  #write(record: Int32Array, lines: number): void {
    const over = (this.#end + lines - this.#start - LOG_LINES) | 0;
    // Sequentially consistent, before the first store into old lines: pairs with the reader's look at `start` after its copy.
    if (over > 0) {
      this.#start = (this.#start + over) | 0;
      this.#storeStart();
    }
    const at = this.#place.log + (this.#end & (LOG_LINES - 1)) * LINE_WORDS;
    this.#words.fill(0, at, at + lines * LINE_WORDS);
    this.#words.set(record, at);
    this.#end = (this.#end + lines) | 0;
  }

  #storeStart(): void {
    Atomics.store(this.#words, this.#place.header + MEMBERSHIP_W.logStart, this.#start);
  }

  #storeEnd(): void {
    // Release: whoever loads it with acquire finds the record complete.
    Atomics.store(this.#words, this.#place.header + MEMBERSHIP_W.logEnd, this.#end);
  }
}

/** `behind`: the log no longer has (or never had) what comes next; `damaged`: it makes no sense. Take the table then. */
export type LogRead = { readonly record: MemberRecord; readonly next: number } | 'end' | 'behind' | 'damaged';

/** Reads the record at `position` without trusting a word of it. `words`: live, of the whole region up to the heap. */
export function readLog(words: Int32Array, place: MembershipPlace, position: number): LogRead {
  let at = position | 0;
  // Once more after a pad, which can only be followed by the ring's start.
  for (let tries = 0; tries < 2; tries++) {
    const end = Atomics.load(words, place.header + MEMBERSHIP_W.logEnd);
    const ahead = (end - at) | 0;
    if (ahead === 0) return 'end';
    if (ahead < 0 || ahead > LOG_LINES) return 'behind';
    const copy = copyRecord(words, place, at);
    // After the copy: pairs with the writer's store of `start` before it overwrites.
    const start = Atomics.load(words, place.header + MEMBERSHIP_W.logStart);
    if (((at - start) | 0) < 0) return 'behind';
    if (copy === null) return 'damaged';
    if ((copy[RECORD_W.change]! & 0xff) !== KIND_PAD) {
      const record = decodeRecord(copy, place.slots);
      if (record === null) return 'damaged';
      return { record, next: (at + Math.ceil(copy.length / LINE_WORDS)) | 0 };
    }
    at = (at + LOG_LINES - (at & (LOG_LINES - 1))) | 0;
  }
  return 'damaged';
}

/** A private copy of the words of one record, or of as much of a pad as there is; null when its length makes no sense. */
function copyRecord(words: Int32Array, place: MembershipPlace, position: number): Int32Array | null {
  const line = position & (LOG_LINES - 1);
  const at = place.log + line * LINE_WORDS;
  const most = (LOG_LINES - line) * LINE_WORDS;
  const fixed = words.slice(at, at + Math.min(FIXED_WORDS, most));
  if ((fixed[RECORD_W.change]! & 0xff) === KIND_PAD) return fixed;
  const length = fixed.length < FIXED_WORDS ? 0 : recordWords(fixed);
  if (length === 0 || length > most) return null;
  const copy = words.slice(at, at + length);
  // The length was of the first copy: a record that changed meanwhile is not decoded beyond it.
  return recordWords(copy) === length ? copy : null;
}
