import { closeSync } from 'node:fs';
import { binding, type FdWatch } from '../../native/binding.ts';
import type { Messages } from '../sockets/handshake.ts';
import { Outbox } from '../sockets/outbox.ts';

/** Messages read from a client per wake-up before others get their turn. */
const READ_BURST = 32;
/** Send buffer asked for, bytes per message: a message with a descriptor costs the kernel about 770. */
const SEND_BUFFER_PER_MESSAGE = 1024;
/** A stalled client shall not pin more kernel memory than this (the kernel doubles it); the rest waits in the outbox. */
const SEND_BUFFER_MOST = 512 << 10;

export interface ClientEvents {
  /** The socket ended or failed. Called once; the client is closed by then. */
  gone(why: string): void;
  /** The client sent something, which the protocol does not know. Called once. */
  spoke(): void;
  /** The socket is full; `waiting` messages are left. */
  stalled(waiting: number): void;
  /** Messages are about to be sent; taken() follows at once. */
  sending(): void;
  /** The socket took so many more messages, perhaps none. */
  taken(messages: number): void;
}

/** One connection that was given a slot. */
export class Client {
  readonly #socket: number;
  readonly #watch: FdWatch;
  readonly #outbox: Outbox;
  readonly #events: ClientEvents;
  #spoke = false;
  #closed = false;

  /** Owns `socket` from now on. */
  constructor(socket: number, events: ClientEvents) {
    this.#socket = socket;
    this.#events = events;
    this.#watch = new binding.FdWatch(socket, (readable, writable) => this.#wake(readable, writable));
    this.#watch.start(true, false);
    this.#outbox = new Outbox(
      socket,
      this.#watch,
      (error) => this.#end((error as Error).message),
      (waiting) => events.stalled(waiting),
      { sending: () => events.sending(), taken: (messages) => events.taken(messages) },
    );
  }

  /** The client's own, until it is closed. */
  get socket(): number {
    return this.#socket;
  }

  /** Messages the client has not taken. */
  get waiting(): number {
    return this.#outbox.waiting;
  }

  send(messages: Messages): void {
    if (this.#closed || messages.values.length === 0) return;
    const wanted = messages.values.length * SEND_BUFFER_PER_MESSAGE;
    binding.socketSendBuffer(this.#socket, Math.min(wanted, SEND_BUFFER_MOST));
    this.#outbox.send(messages);
  }

  /** Neither sends nor reads, nor notices the end, until resumed. */
  pause(): void {
    if (this.#closed) return;
    this.#outbox.pause();
    this.#watch.stop();
  }

  resume(): void {
    if (this.#closed) return;
    this.#watch.start(true, false);
    this.#outbox.resume();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#outbox.close();
    this.#watch.close();
    closeSync(this.#socket);
  }

  #wake(readable: boolean, writable: boolean): void {
    if (readable) this.#read();
    if (writable && !this.#closed) this.#outbox.flush();
  }

  /** A client has nothing to say: what it says is thrown away, descriptors included, and only its end matters. */
  #read(): void {
    try {
      for (let i = 0; i < READ_BURST; i++) {
        const message = binding.receiveMessage(this.#socket);
        if (message === null) return;
        if (message === undefined) {
          this.#end('end of stream');
          return;
        }
        if (message.fd >= 0) closeSync(message.fd);
        if (!this.#spoke) this.#events.spoke();
        this.#spoke = true;
      }
    } catch (error) {
      // ECONNRESET: it died with messages unread.
      this.#end((error as Error).message);
    }
  }

  #end(why: string): void {
    if (this.#closed) return;
    this.close();
    this.#events.gone(why);
  }
}
