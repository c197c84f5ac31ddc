import { binding, type FdWatch } from '../../native/binding.ts';
import type { Messages } from './handshake.ts';

/** ETOOMANYREFS has no event that ends it: somebody must receive descriptors that are in flight. */
const RETRY_MS = 20;

/** Who wants to know how far the sending is, for another process to go on there. */
export interface Progress {
  /** Messages are about to be sent; taken() follows at once, unless the process dies between the two. */
  sending(): void;
  /** The socket took so many more, perhaps none. */
  taken(messages: number): void;
}

/**
 * Messages on their way to one client. As many as the socket takes go at once; the rest follow when it is writable, so
 * that a stopped client (SIGSTOP, a debugger) delays nobody and loses nothing.
 */
export class Outbox {
  readonly #socket: number;
  readonly #watch: FdWatch;
  readonly #onFailure: (error: unknown) => void;
  readonly #onStall: (waiting: number) => void;
  readonly #progress: Progress | null;
  readonly #values: number[] = [];
  readonly #fds: number[] = [];
  #retry: NodeJS.Timeout | null = null;
  #open = true;

  /** `watch` is the client's watch, which its owner keeps started for reading. */
  constructor(
    socket: number,
    watch: FdWatch,
    onFailure: (error: unknown) => void,
    onStall: (waiting: number) => void,
    progress: Progress | null,
  ) {
    this.#socket = socket;
    this.#watch = watch;
    this.#onFailure = onFailure;
    this.#onStall = onStall;
    this.#progress = progress;
  }

  /** Messages not yet taken by the socket. */
  get waiting(): number {
    return this.#values.length;
  }

  send(messages: Messages): void {
    this.#values.push(...messages.values);
    this.#fds.push(...messages.fds);
    this.flush();
    if (this.#values.length > 0) this.#onStall(this.#values.length);
  }

  /** Sends what the socket takes now. For the owner of the watch when it becomes writable. */
  flush(): void {
    if (!this.#open || this.#retry !== null) return;
    if (this.#values.length > 0) this.#send();
    else this.#watch.start(true, false);
  }

  #send(): void {
    this.#progress?.sending();
    let taken = 0;
    try {
      taken = binding.sendMessages(this.#socket, this.#values, this.#fds);
      this.#values.splice(0, taken);
      this.#fds.splice(0, taken);
      this.#watch.start(true, this.#values.length > 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ETOOMANYREFS') this.#later();
      else this.#onFailure(error);
    }
    this.#progress?.taken(taken);
  }

  /** Sends nothing until resumed. The owner stops the watch. */
  pause(): void {
    this.#open = false;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
  }

  resume(): void {
    this.#open = true;
    this.flush();
  }

  close(): void {
    this.pause();
    this.#values.length = 0;
    this.#fds.length = 0;
  }

  /** An unprivileged server may have no more descriptors in flight than RLIMIT_NOFILE (unix(7)). */
  #later(): void {
    this.#watch.start(true, false);
    this.#retry = setTimeout(() => {
      this.#retry = null;
      this.flush();
    }, RETRY_MS);
    this.#retry.unref();
  }
}
