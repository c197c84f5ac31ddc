import type { Channel, ChannelEnd, Message, Region } from '../channel/index.ts';
import { isIvshmemError } from '../errors/index.ts';
import { DATA_HEADER_BYTES, dataOffset, decode, putDataHeader } from './messages.ts';
import type { Session } from './session.ts';
import type { Ring } from './session-ports.ts';

/** Most bytes one message carries: small enough that the receiver takes the first while the sender writes the next. */
const MOST_BYTES = 64 << 10;
/** A message takes at most one of so many parts of a ring. */
const PIECES = 3;
/** A channel that was half full, or had no room, so often, and was filled so often over, is too small. */
const MOST_PRESSED = 16;
const MOST_FILLED = 8;
/** Pieces up to this size that came together are handed to the program together. */
const SMALL_BYTES = 8 << 10;
/** What is gathered, for as long as one channel is served: nothing else runs meanwhile. */
const gathered = Buffer.allocUnsafeSlow(64 << 10);
/** Most messages taken in one go from a channel that is given up: a peer that goes on filling it does not keep us. */
const MOST_DRAINED = 4096;

/** A channel as a session uses it. */
export class ChannelRing implements Ring {
  readonly binding: string;
  readonly capacity: number;
  readonly most: number;
  readonly peer: number;
  readonly #channel: Channel;
  readonly #session: Session;
  readonly #view: DataView;
  readonly #incoming: Channel['incoming'];
  /** Where in the stream `gathered` begins, and how much there is. */
  #gatheredAt = 0;
  #gatheredBytes = 0;
  readonly #mostGathered: number;
  readonly #tooSmall: () => void;
  #pressed = 0;
  #carried = 0;
  /** Bytes taken since the last of those that came together. */
  #burst = 0;
  #serving = false;
  #waiting = false;
  /** Room was looked for since messages began to come. */
  #looked = false;
  #closed = false;

  /** `tooSmall` is called when it is, and again for as long as it is. */
  constructor(
    region: Region,
    channel: Channel,
    session: Session,
    side: 'connector' | 'acceptor',
    tooSmall: () => void,
  ) {
    this.#tooSmall = tooSmall;
    const ends = side === 'connector' ? [region.slot, channel.peer] : [channel.peer, region.slot];
    this.binding = `${channel.number} ${ends.join(' ')}`;
    this.peer = channel.peer;
    this.#channel = channel;
    this.#session = session;
    this.capacity = channel.capacity;
    this.#mostGathered = Math.min(gathered.length, channel.capacity);
    this.most = Math.min(MOST_BYTES, Math.floor(channel.capacity / PIECES) - DATA_HEADER_BYTES);
    const { bytes } = channel.outgoing;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#incoming = channel.incoming;
    // TCP keeps the process alive, or not, as the program wishes.
    if (region.device.vectors > 0) channel.unref();
  }

  /** `ended` is called once when the channel ends other than by `close`; at once if it has. */
  watch(ended: (end: ChannelEnd) => void): void {
    this.#channel.onEnd((end) => {
      if (!this.#closed) ended(end);
    });
  }

  get outstanding(): number {
    return this.#channel.outstanding;
  }

  place(offset: number, parts: readonly Uint8Array[], bytes: number): boolean {
    const room = this.#try(() => this.#channel.reserve(DATA_HEADER_BYTES + bytes), null);
    if (room === null) {
      this.#press();
      this.#wantRoom(DATA_HEADER_BYTES + bytes);
      return false;
    }
    this.#carried += bytes;
    putDataHeader(this.#view, room.offset, offset);
    let at = room.offset + DATA_HEADER_BYTES;
    for (const part of parts) {
      this.#channel.outgoing.bytes.set(part, at);
      at += part.length;
    }
    return true;
  }

  flush(): void {
    this.#channel.commit();
  }

  wait(): void {
    this.#wantRoom(this.capacity);
  }

  say(message: Uint8Array): boolean {
    return this.#try(() => this.#channel.send(message), false);
  }

  drain(): void {
    for (let n = 0; n < MOST_DRAINED && !this.#closed; n++) {
      const bytes = this.#try(() => this.#next(), null);
      if (bytes === null) return;
      this.#session.message(decode(bytes));
      // The peer may be filling it all the while: it keeps what is not taken.
      if (this.#session.inbound.aheadBytes > this.capacity) return;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#channel.close();
  }

  /** Hands messages to the session until it has enough. */
  serve(): void {
    if (this.#serving || this.#closed) return;
    this.#serving = true;
    this.#channel.serve(
      (message) => this.#take(message),
      () => {
        this.#handOn();
        if (this.#burst >= this.capacity / 2) this.#press();
        this.#burst = 0;
        this.#looked = false;
      },
    );
  }

  #press(): void {
    if (++this.#pressed < MOST_PRESSED || this.#carried < MOST_FILLED * this.capacity) return;
    this.#pressed = 0;
    this.#carried = 0;
    // Not in the middle of a write, or of what came.
    setImmediate(() => {
      if (!this.#closed) this.#tooSmall();
    });
  }

  /** Gathers small pieces of data that follow each other; everything else goes to the session at once. */
  #take(message: Message): void {
    if (this.#waiting && !this.#looked && !this.#lookForRoom()) return;
    const { offset, length } = message;
    const inPlace = message.plain && length >= DATA_HEADER_BYTES && (offset & 3) === 0;
    const at = inPlace ? dataOffset(this.#incoming.words, offset >> 2) : -1;
    const bytes = length - DATA_HEADER_BYTES;
    this.#burst += length;
    this.#carried += length;
    const from = offset + DATA_HEADER_BYTES;
    if (at < 0 || bytes > SMALL_BYTES) {
      this.#handOn();
      if (this.#closed) return;
      // One copy, out of the peer's reach; what is checked is checked there.
      const copy = Buffer.from(at < 0 ? message.bytes : this.#incoming.bytes.subarray(from, from + bytes));
      this.#channel.release(message);
      this.#hand(at < 0 ? decode(copy) : { type: 'data', offset: at, bytes: copy });
      return;
    }
    const follows = at === this.#gatheredAt + this.#gatheredBytes;
    if (!follows || this.#gatheredBytes + bytes > this.#mostGathered) this.#handOn();
    if (this.#closed) return;
    if (this.#gatheredBytes === 0) this.#gatheredAt = at;
    gathered.set(this.#incoming.bytes.subarray(from, from + bytes), this.#gatheredBytes);
    this.#gatheredBytes += bytes;
    this.#channel.release(message);
  }

  /**
   * An answer comes after the write it answers is done, as with a kernel: it takes the bytes before the peer has them, so programs never
   * see it otherwise. False: closed meanwhile.
   */
  #lookForRoom(): boolean {
    this.#looked = true;
    this.#try(() => this.#channel.reclaim(), undefined);
    this.#session.room();
    return !this.#closed;
  }

  #handOn(): void {
    const length = this.#gatheredBytes;
    if (length === 0) return;
    this.#gatheredBytes = 0;
    const bytes = Buffer.allocUnsafe(length);
    gathered.copy(bytes, 0, 0, length);
    this.#hand({ type: 'data', offset: this.#gatheredAt, bytes });
  }

  /** Serving stops when the session has enough. */
  #hand(message: ReturnType<typeof decode>): void {
    if (this.#session.message(message) || this.#closed || !this.#serving) return;
    this.#serving = false;
    this.#channel.serve(null);
  }

  #next(): Uint8Array | null {
    const message = this.#channel.receive();
    if (message === null) return null;
    const bytes = Buffer.from(message.bytes);
    this.#channel.release(message);
    return bytes;
  }

  #wantRoom(bytes: number): void {
    if (this.#waiting || this.#closed || this.#channel.end !== null) return;
    this.#waiting = true;
    const again = (room: boolean): void => {
      this.#waiting = false;
      if (room && !this.#closed) this.#session.room();
    };
    // A channel that breaks meanwhile ends, and says so in its own way.
    this.#channel.writable(bytes, true).then(again, () => again(false));
  }

  /** What the peer broke ends the channel, which is heard of; anything else is a fault of this program. */
  #try<T>(use: () => T, otherwise: T): T {
    try {
      return use();
    } catch (error) {
      if (!isIvshmemError(error) || this.#channel.end === null) throw error;
      return otherwise;
    }
  }
}
