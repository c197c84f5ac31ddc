import { closeSync } from 'node:fs';
import { binding, type FdWatch } from '../../native/binding.ts';
import { Outbox } from './outbox.ts';

/** Messages read per wake-up before others get their turn. */
const READ_BURST = 1024;

export interface LinkEvents {
  /** `fd` (-1: none) is the receiver's from now on. */
  message(value: number, fd: number): void;
  /** The other side closed, or the socket failed. Called at most once; the link is closed by then. */
  end(why: string): void;
}

/** Numbers and descriptors both ways between two servers, or a server and its supervisor. Does not keep the process alive. */
export class Link {
  readonly #socket: number;
  readonly #watch: FdWatch;
  readonly #outbox: Outbox;
  readonly #events: LinkEvents;
  readonly #owned: number[] = [];
  #closed = false;

  /** Owns `socket` from now on. */
  constructor(socket: number, events: LinkEvents) {
    this.#socket = socket;
    this.#events = events;
    this.#watch = new binding.FdWatch(socket, (readable, writable) => {
      if (readable) this.#read();
      if (writable && !this.#closed) this.#outbox.flush();
    });
    this.#outbox = new Outbox(
      socket,
      this.#watch,
      (error) => this.#end((error as Error).message),
      () => {},
      null,
    );
    this.#watch.start(true, false);
  }

  /** Keeps the process alive while it is open. */
  ref(): this {
    this.#watch.ref();
    return this;
  }

  unref(): this {
    this.#watch.unref();
    return this;
  }

  /** The descriptors must stay open until the other side has answered; `owned` is closed with the link. */
  send(values: readonly number[], fds: readonly number[], owned: readonly number[] = []): void {
    if (this.#closed) {
      for (const fd of owned) closeSync(fd);
      return;
    }
    this.#owned.push(...owned);
    this.#outbox.send({ values: [...values], fds: [...fds] });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#outbox.close();
    this.#watch.close();
    for (const fd of [this.#socket, ...this.#owned]) closeSync(fd);
  }

  #read(): void {
    try {
      for (let i = 0; i < READ_BURST && !this.#closed; i++) {
        const message = binding.receiveMessage(this.#socket);
        if (message === null) return;
        if (message === undefined) {
          this.#end('end of stream');
          return;
        }
        this.#events.message(message.value, message.fd);
      }
    } catch (error) {
      this.#end((error as Error).message);
    }
  }

  #end(why: string): void {
    if (this.#closed) return;
    this.close();
    this.#events.end(why);
  }
}
