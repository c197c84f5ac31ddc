/** Messages begin with their sequence number and end with it; every other line of 64 bytes begins with a word of the pattern. */
const LINE = 64;
const LAST_WORD = 60;
const lineFactor = Math.imul(16, 2654435761 | 0);

/**
 * Checks a byte stream of messages of one size (a multiple of 64) in whatever pieces it comes, in place: no piece is copied,
 * except for the few bytes of a line that was cut in two. The content is that of `makePattern` and `stamp` in vm/content.ts.
 */
export class LineChecker {
  readonly #lines: number;
  /** Line of the message that comes next, and the message's number. */
  #line = 0;
  #sequence = 0;
  readonly #cut = Buffer.alloc(LINE);
  readonly #cutView = new DataView(this.#cut.buffer, this.#cut.byteOffset, LINE);
  #held = 0;

  constructor(bytes: number) {
    this.#lines = bytes / LINE;
  }

  /** Number of the message that comes next. */
  get sequence(): number {
    return this.#sequence;
  }

  /** How many messages end in these bytes. @throws Error when a byte looked at is wrong. */
  take(piece: Uint8Array): number {
    const before = this.#sequence;
    let at = 0;
    if (this.#held > 0) {
      at = Math.min(LINE - this.#held, piece.length);
      this.#cut.set(piece.subarray(0, at), this.#held);
      this.#held += at;
      if (this.#held < LINE) return 0;
      this.#held = 0;
      this.#check(this.#cutView, 0, LINE);
    }
    const end = piece.length - ((piece.length - at) % LINE);
    // A view of whatever alignment: TCP cuts where its segments end.
    if (end > at) this.#check(new DataView(piece.buffer, piece.byteOffset, end), at, end);
    if (end < piece.length) {
      this.#held = piece.length - end;
      this.#cut.set(piece.subarray(end));
    }
    return (this.#sequence - before) | 0;
  }

  #check(view: DataView, from: number, to: number): void {
    const lines = this.#lines;
    let line = this.#line;
    let sequence = this.#sequence;
    for (let at = from; at < to; at += LINE) {
      const expected = line === 0 ? sequence : Math.imul(line, lineFactor);
      if (view.getInt32(at, true) !== expected) this.#fail(line, sequence);
      line++;
      if (line < lines) continue;
      if (view.getInt32(at + LAST_WORD, true) !== sequence) this.#fail(line - 1, sequence);
      line = 0;
      sequence = (sequence + 1) | 0;
    }
    this.#line = line;
    this.#sequence = sequence;
  }

  #fail(line: number, sequence: number): never {
    throw new Error(`message ${sequence} is wrong in line ${line}`);
  }
}
