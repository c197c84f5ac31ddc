import { forEveryone } from '../errors/for-everyone.ts';
import { IvshmemError } from '../errors/index.ts';
import type { ChannelEnd } from './channel-end.ts';
import type { ChannelHost } from './channel-host.ts';
import type { DataArea, Message, ReceivedBurst, Reservation, ReservedBurst } from './message.ts';
import type { Receiver } from './receiver.ts';
import type { Sender } from './sender.ts';
import { HandlerFault, SERVED_IN_A_ROW, Serving } from './serving.ts';
import { Waiters } from './waiters.ts';
import { Writer } from './writer.ts';

export interface ChannelIdentity {
  /** Number in the channel table. */
  readonly number: number;
  readonly service: string;
  /** Slot of the other side. */
  readonly peer: number;
}

/** Counts of a channel since it was made. A message in parts counts once, when its last part is there. */
export interface ChannelTraffic {
  readonly messagesSent: number;
  readonly bytesSent: number;
  readonly messagesReceived: number;
  readonly bytesReceived: number;
}

/**
 * A pair of message queues with one peer. Sending lends room in shared memory (`reserve`, `commit`) or copies (`send`,
 * `write`); receiving lends messages in place (`receive`, `release`), hands them to a handler (`serve`) or iterates.
 */
export class Channel {
  readonly number: number;
  readonly service: string;
  readonly peer: number;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #host: ChannelHost;
  /** Who waits for messages, and who waits for room to send. */
  readonly #readers: Waiters;
  readonly #writers: Waiters;
  readonly #writer: Writer;
  #serving: Serving | null = null;
  #end: ChannelEnd | null = null;
  /** Nothing can be received any more, whatever is in the ring: it was closed here, or is broken. */
  #deaf = false;
  #closed = false;
  #error: IvshmemError | null = null;
  /** Looks for a message by next() since the event loop last ran. */
  #looks = 0;
  #endListeners: ((end: ChannelEnd) => void)[] = [];

  constructor(identity: ChannelIdentity, sender: Sender, receiver: Receiver, host: ChannelHost) {
    this.number = identity.number;
    this.service = identity.service;
    this.peer = identity.peer;
    this.#sender = sender;
    this.#receiver = receiver;
    this.#host = host;
    this.#readers = new Waiters(host);
    this.#writers = new Waiters(host);
    this.#writer = new Writer({
      capacity: sender.capacity,
      send: (bytes) => this.send(bytes),
      sendPart: (piece, more) => this.#sendPart(piece, more),
      untilReleased: () => this.#untilReleased(),
    });
  }

  /** The sending data area; `reservation.offset` is an offset into it. */
  get outgoing(): DataArea {
    return this.#sender.area;
  }

  /** The receiving data area; `message.offset` is an offset into it. */
  get incoming(): DataArea {
    return this.#receiver.area;
  }

  /** The largest message `reserve` and `send` can carry, in bytes. `write` has no such limit. */
  get capacity(): number {
    return this.#sender.capacity;
  }

  /**
   * Null while both sides are there; then whatever ended it first, or 'broken' from when what the peer left turns out to be. What it
   * sent before it closed can still be received, until this side closes as well.
   */
  get end(): ChannelEnd | null {
    return this.#end;
  }

  /** What broke the channel, when `end` is 'broken'. */
  get error(): IvshmemError | null {
    return this.#error;
  }

  /** Messages sent that the peer has not returned, as of when room was last looked for. */
  get outstanding(): number {
    return this.#sender.outstanding;
  }

  /** Takes back what the peer has returned, as looking for room does. */
  reclaim(): void {
    try {
      this.#sender.reclaim();
    } catch (error) {
      throw this.#fault(error);
    }
  }

  /** Messages and bytes carried until now, in both directions. */
  traffic(): ChannelTraffic {
    const [messagesSent, bytesSent] = this.#sender.sent();
    const [messagesReceived, bytesReceived] = this.#receiver.received();
    return { messagesSent, bytesSent, messagesReceived, bytesReceived };
  }

  /** Lends room for a message of `length` bytes; null when the ring is full or the peer is gone. Visible to the peer after `commit`. */
  reserve(length: number): Reservation | null {
    if (this.#end !== null || this.#writer.partial) return null;
    try {
      return this.#sender.reserve(length);
    } catch (error) {
      throw this.#fault(error);
    }
  }

  /**
   * Lends room for up to `count` messages of `length` bytes at once, the fastest way to send many small ones; null when the
   * ring is full or the peer is gone. May lend fewer than asked: look at `count`. Visible to the peer after `commit`.
   */
  reserveBurst(count: number, length: number): ReservedBurst | null {
    if (this.#end !== null || this.#writer.partial) return null;
    try {
      return this.#sender.reserveBurst(count, length);
    } catch (error) {
      throw this.#fault(error);
    }
  }

  /** Sends everything reserved since the last commit, as one burst; `length` shortens the last message first. */
  commit(length?: number): void {
    if (this.#end !== null) return;
    if (length !== undefined) this.#sender.shorten(length);
    this.#sender.publish();
  }

  /** Copies a message into the ring and sends it. False when there is no room or the peer is gone: see `writable`. */
  send(bytes: Uint8Array): boolean {
    if (this.#end !== null || this.#writer.partial) return false;
    try {
      if (!this.#sender.copyIn(bytes)) return false;
    } catch (error) {
      throw this.#fault(error);
    }
    this.#sender.publish();
    return true;
  }

  /**
   * Sends a message of any size, in parts when it does not fit the ring, waiting for room as needed. False when the peer
   * went before all of it was in the ring. Overlapping calls go one after the other; between the parts of a large message
   * `send` and `reserve` find the ring full.
   */
  write(bytes: Uint8Array): Promise<boolean> {
    return this.#writer.write(bytes);
  }

  /**
   * Resolves true when `reserve(length)` is worth another try, false when the peer is gone. `half`: not before half of what the peer
   * has came back. A stream is woken less often then, and finds room for more.
   */
  async writable(length: number, half = false): Promise<boolean> {
    if (!(length >= 0 && length <= this.capacity)) {
      throw new IvshmemError('ERR_IVSHMEM_MESSAGE_SIZE', {
        operation: 'wait for room for',
        bytes: length,
        most: this.capacity,
      });
    }
    // Nothing may be outstanding, and then nothing would come back to wake us.
    if (this.#end === null && !this.#writer.partial && this.#sender.hasRoom(length)) return true;
    return this.#untilReleased(half);
  }

  /** The next message, lent until `release`; null when there is none right now (or ever: see `end`). Never waits. */
  receive(): Message | null {
    if (this.#deaf) return null;
    try {
      return this.#receiver.receive();
    } catch (error) {
      throw this.#fault(error);
    }
  }

  /**
   * Up to 64 messages at once, lent until `release()`, the fastest way to receive many small ones. Null when there is none right
   * now, or when the next message is a large one in parts: `receive` takes that.
   */
  receiveBurst(): ReceivedBurst | null {
    if (this.#deaf) return null;
    try {
      return this.#receiver.receiveBurst();
    } catch (error) {
      throw this.#fault(error);
    }
  }

  /** Returns a message to the sender, or every message lent so far. */
  release(message?: Message): void {
    if (!this.#closed) this.#receiver.release(message);
  }

  /** Busy-polls for a message, for at most `maxNs` nanoseconds; the event loop stands still meanwhile. */
  spin(maxNs: number): Message | null {
    // Whoever else waits on this channel sleeps through the spin and must be told of what comes after it.
    if (this.#serving === null && this.#readers.count === 0) this.#receiver.disableNotifications();
    // The clock costs as much as a third of a round trip, so it is not looked at before the first thousand polls.
    let deadline = 0;
    for (;;) {
      for (let i = 0; i < 1000; i++) {
        const message = this.receive();
        if (message !== null) return message;
        this.#receiver.touchAhead();
      }
      if (this.#end !== null) return null;
      const now = performance.now();
      if (deadline === 0) deadline = now + maxNs / 1e6;
      else if (now > deadline) return null;
      this.#host.poll();
    }
  }

  /** Resolves with the next message, lent until `release`; null at the end of the channel. */
  async next(): Promise<Message | null> {
    for (;;) {
      if (this.#looks++ >= SERVED_IN_A_ROW) {
        // A flood, of messages or of parts without end, must not keep the loop from its other work.
        this.#looks = 0;
        await new Promise((resolve) => setImmediate(resolve));
      }
      const message = this.receive();
      if (message !== null) return message;
      if (this.#deaf) return null;
      if (this.#end !== null && !this.#receiver.hasMessage()) return null;
      if (this.#receiver.enableNotifications()) continue;
      this.#receiver.flush();
      this.#looks = 0;
      await this.#readers.wait();
    }
  }

  /** Iterates over messages; each one is released when the next is asked for. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Message, void, void> {
    for (;;) {
      const message = await this.next();
      if (message === null) return;
      try {
        yield message;
      } finally {
        this.release(message);
      }
    }
  }

  /**
   * Calls `handler` for every message, straight from the loop: the fastest way to receive while the process does other
   * work. A message is released when the handler returns. Null stops serving; so does the end of the channel, after the last
   * message. `settled` is called when those that came together were handed over, before anybody else is served.
   */
  serve(handler: ((message: Message) => void) | null, settled?: () => void): void {
    if (handler !== null && this.#deaf) return;
    const before = this.#serving;
    this.#serving = handler === null ? null : new Serving(handler, settled, this, this.#receiver, this.#host);
    // Last, so that the region's waiter does not stop for a moment when one handler follows another.
    before?.stop();
  }

  /** Calls back once when the channel ends, at once if it has. */
  onEnd(listener: (end: ChannelEnd) => void): void {
    if (this.#end !== null) listener(this.#end);
    else this.#endListeners.push(listener);
  }

  /** Closes this side; what was sent can still be received by the peer. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#deaf = true;
    this.serve(null);
    try {
      if (this.#end === null) this.#finish('closed-here');
    } finally {
      this.#wakeEveryone();
      this.#host.release();
    }
  }

  /**
   * From now on waiting on this channel, also by serving it, does not keep the process alive. On a device without interrupts,
   * where waiting is polling, nothing may then be heard.
   */
  unref(): void {
    this.#host.unref();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * For the region: this channel was marked. Hands messages to whoever waits, at most a burst of them. A fault of the peer
   * ends the channel and is kept in `error`; only the handler's own exceptions leave this method.
   */
  signal(): void {
    if (this.#deaf) return;
    this.#receiver.flush();
    this.#wakeEveryone();
    if (this.#serving === null) return;
    try {
      this.#serving.burst();
    } catch (error) {
      if (error instanceof HandlerFault) throw error.cause;
      const fault = this.#fault(error);
      if (this.#error !== fault) throw fault;
    }
  }

  /** For the region: the peer closed or died. */
  peerGone(end: 'closed' | 'died'): void {
    if (this.#end === null) this.#finish(end);
  }

  /** For the region: the channel's entry in the table makes no sense any more. */
  broke(error: IvshmemError): void {
    if (this.#end === null) this.#fault(error);
  }

  #sendPart(piece: Uint8Array, more: boolean): boolean {
    if (this.#end !== null) return false;
    try {
      const room = this.#sender.reservePart(piece.length, more ? 1 : 0);
      if (room === null) return false;
      this.outgoing.bytes.set(piece, room.offset);
    } catch (error) {
      throw this.#fault(error);
    }
    this.#sender.publish();
    return true;
  }

  /** Resolves true when the receiver may have returned something, false when it is gone. */
  async #untilReleased(half = false): Promise<boolean> {
    if (this.#end !== null) return false;
    if (!this.#startWaiting(half)) {
      // The receiver may hold buffers back and sleep: make it flush.
      this.#host.notifyPeer();
      await this.#writers.wait();
    }
    if (this.#writers.count === 0 && !this.#closed) this.#sender.stopWaiting();
    return this.#end === null;
  }

  #startWaiting(half: boolean): boolean {
    try {
      return this.#sender.startWaiting(half);
    } catch (error) {
      throw this.#fault(error);
    }
  }

  #finish(end: ChannelEnd): void {
    this.#end = end;
    this.#wakeEveryone();
    if (end === 'broken') this.serve(null);
    // The handler gets what is still in the ring, then lets go.
    else if (this.#serving !== null) this.#host.postSelf();
    const listeners = this.#endListeners;
    this.#endListeners = [];
    forEveryone(listeners, (listener) => listener(end));
  }

  #wakeEveryone(): void {
    this.#writers.wakeAll();
    this.#readers.wakeAll();
  }

  /** A broken ring ends the channel; the error is kept and returned for the caller to throw. */
  #fault(error: unknown): unknown {
    if (error instanceof IvshmemError && error.kind === 'failure' && !this.#closed) {
      this.#error ??= error;
      this.#deaf = true;
      this.#finish('broken');
    }
    return error;
  }
}
