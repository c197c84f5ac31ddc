/** One direction's data area as typed arrays; a message's `offset` is a byte offset into them. */
export interface DataArea {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly words: Int32Array<ArrayBuffer>;
}

const NO_BYTES = new Uint8Array(0);

/**
 * Room for one message in shared memory, lent to the sender between `reserve` and `commit`.
 * Objects are reused: do not keep one past `commit`.
 */
export class Reservation {
  /** Byte offset into `channel.outgoing`. */
  offset = 0;
  length = 0;
  readonly #area: DataArea;
  #view: Uint8Array = NO_BYTES;

  constructor(area: DataArea) {
    this.#area = area;
  }

  /** A view of the room. The same object comes back when the same place is lent again. */
  get bytes(): Uint8Array {
    const view = this.#view;
    const start = this.#area.bytes.byteOffset + this.offset;
    if (view.byteOffset === start && view.length === this.length && this.length > 0) return view;
    this.#view = this.#area.bytes.subarray(this.offset, this.offset + this.length);
    return this.#view;
  }
}

/** Room for several messages of one length, lent until `commit`: message i begins at `offset + i * stride` of `channel.outgoing`. */
export class ReservedBurst {
  count = 0;
  offset = 0;
  stride = 0;
  length = 0;
}

/** Several received messages, lent until `release()`: message i is `lengths[i]` bytes at `offsets[i]` of `channel.incoming`. */
export class ReceivedBurst {
  count = 0;
  readonly offsets: Int32Array;
  readonly lengths: Int32Array;

  constructor(capacity: number) {
    this.offsets = new Int32Array(capacity);
    this.lengths = new Int32Array(capacity);
  }
}

/**
 * One received message, lent to the receiver until `release`. The bytes lie in memory that the sender can still write:
 * copy what you check. Objects are reused after release.
 */
export class Message {
  /** Byte offset of the first segment into `channel.incoming`; -1 for a message put together from parts. */
  offset = 0;
  /** Total bytes. */
  length = 0;
  /** Set while lent. */
  lent = false;
  readonly #area: DataArea;
  #view: Uint8Array = NO_BYTES;
  #segments: readonly Uint8Array[] | null = null;

  constructor(area: DataArea) {
    this.#area = area;
  }

  /** A message made of private memory, outside the ring. */
  static of(bytes: Uint8Array<ArrayBuffer>): Message {
    const message = new Message({ bytes, words: new Int32Array(0) });
    message.length = bytes.length;
    message.offset = -1;
    message.#view = bytes;
    return message;
  }

  /** For the receiver: points this object at one segment of the data area. */
  point(offset: number, length: number): void {
    this.offset = offset;
    this.length = length;
    this.#segments = null;
    this.lent = true;
  }

  /** For the receiver: points this object at several segments. */
  pointAll(segments: readonly Uint8Array[]): void {
    this.#segments = segments;
    this.offset = segments[0]!.byteOffset - this.#area.bytes.byteOffset;
    this.length = segments.reduce((sum, part) => sum + part.length, 0);
    this.lent = true;
  }

  /** Whether all of it lies at `offset` of the data area, in a row. */
  get plain(): boolean {
    return this.#segments === null && this.offset >= 0;
  }

  /** The bytes in place; a message of several segments is joined into private memory on first use. */
  get bytes(): Uint8Array {
    if (this.#segments !== null) {
      if (this.#segments.length > 1) this.#segments = [joinBytes(this.#segments, this.length)];
      return this.#segments[0]!;
    }
    const view = this.#view;
    if (this.offset < 0) return view;
    if (
      view.byteOffset === this.#area.bytes.byteOffset + this.offset &&
      view.length === this.length &&
      this.length > 0
    )
      return view;
    this.#view = this.#area.bytes.subarray(this.offset, this.offset + this.length);
    return this.#view;
  }

  /** Every segment in place, in order; one for most messages. */
  get segments(): readonly Uint8Array[] {
    return this.#segments ?? [this.bytes];
  }

  /** A private copy of the bytes, safe to check and to keep. */
  copy(): Uint8Array {
    return joinBytes(this.segments, this.length);
  }
}

function joinBytes(parts: readonly Uint8Array[], length: number): Uint8Array {
  const joined = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
