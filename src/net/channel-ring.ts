import type { Channel, ChannelEnd, Region } from '../channel/index.ts';
import { isIvshmemError } from '../errors/index.ts';
import { DATA_HEADER_BYTES, decode, putDataHeader } from './messages.ts';
import type { Session } from './session.ts';
import type { Ring } from './session-ports.ts';

/** Most bytes one message carries: small enough that the receiver takes the first while the sender writes the next. */
const MOST_BYTES = 64 << 10;
/** Parts of a ring in one message at most. */
const PIECES = 8;
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
  #serving = false;
  #waiting = false;
  #closed = false;

  constructor(region: Region, channel: Channel, session: Session, side: 'connector' | 'acceptor') {
    const ends = side === 'connector' ? [region.slot, channel.peer] : [channel.peer, region.slot];
    this.binding = `${channel.number} ${ends.join(' ')}`;
    this.peer = channel.peer;
    this.#channel = channel;
    this.#session = session;
    this.capacity = channel.capacity;
    this.most = Math.min(MOST_BYTES, Math.floor(channel.capacity / PIECES)) - DATA_HEADER_BYTES;
    const { bytes } = channel.outgoing;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
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
      this.#wantRoom(DATA_HEADER_BYTES + bytes);
      return false;
    }
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

  say(message: Uint8Array): boolean {
    return this.#try(() => this.#channel.send(message), false);
  }

  drain(): void {
    for (let n = 0; n < MOST_DRAINED && !this.#closed; n++) {
      const bytes = this.#try(() => this.#take(), null);
      if (bytes === null) return;
      this.#session.message(decode(bytes));
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
    this.#channel.serve((message) => {
      // One copy, out of the peer's reach; header and data are looked at there only.
      const bytes = Buffer.from(message.bytes);
      this.#channel.release(message);
      if (this.#session.message(decode(bytes)) || this.#closed) return;
      this.#serving = false;
      this.#channel.serve(null);
    });
  }

  #take(): Uint8Array | null {
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
    this.#channel.writable(bytes).then(again, () => again(false));
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
