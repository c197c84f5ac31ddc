import { binding, type FdWatch } from '../native/binding.ts';
import type { Messages } from './handshake.ts';

/** ETOOMANYREFS has no event that ends it: somebody must receive descriptors that are in flight. */
const RETRY_MS = 20;

/**
 * Messages on their way to one client. As many as the socket takes go at once; the rest follow when it is writable, so
 * that a stopped client (SIGSTOP, a debugger) delays nobody and loses nothing.
 */
export class Outbox {
  readonly #socket: number;
  readonly #watch: FdWatch;
  readonly #onFailure: (error: unknown) => void;
  readonly #onStall: (waiting: number) => void;
  readonly #onTaken: (taken: number) => void;
  readonly #values: number[] = [];
  readonly #fds: number[] = [];
  #retry: NodeJS.Timeout | null = null;
  #open = true;

  /** `watch` is the client's watch, which its owner keeps started for reading. `onTaken`: the socket took so many more. */
  constructor(
    socket: number,
    watch: FdWatch,
    onFailure: (error: unknown) => void,
    onStall: (waiting: number) => void,
    onTaken: (taken: number) => void,
  ) {
    this.#socket = socket;
    this.#watch = watch;
    this.#onFailure = onFailure;
    this.#onStall = onStall;
    this.#onTaken = onTaken;
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
    let taken = 0;
    try {
      taken = this.#values.length === 0 ? 0 : binding.sendMessages(this.#socket, this.#values, this.#fds);
      this.#values.splice(0, taken);
      this.#fds.splice(0, taken);
      this.#watch.start(true, this.#values.length > 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ETOOMANYREFS') this.#later();
      else this.#onFailure(error);
    }
    if (taken > 0) this.#onTaken(taken);
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
