import { closeSync } from 'node:fs';
import { binding, type FdWatch } from '../../native/binding.ts';
import type { Listener } from './listener.ts';

const ACCEPT_BURST = 16;
/** How long to leave the listening socket alone when accept fails, for it stays readable. */
const PAUSE_MS = 100;

/** Accepts connections and hands their descriptors on. Keeps the process alive until closed, as a server does. */
export class Acceptor {
  readonly #listener: Listener;
  readonly #watch: FdWatch;
  readonly #onConnection: (socket: number) => void;
  readonly #onError: (error: unknown) => void;
  #pause: NodeJS.Timeout | null = null;
  #closed = false;

  /** Owns the listener from now on. `onConnection` owns each socket. */
  constructor(listener: Listener, onConnection: (socket: number) => void, onError: (error: unknown) => void) {
    this.#listener = listener;
    this.#onConnection = onConnection;
    this.#onError = onError;
    this.#watch = new binding.FdWatch(listener.fd, () => this.#accept());
    this.#watch.ref();
    this.#watch.start(true, false);
  }

  get on(): string {
    return this.#listener.on;
  }

  get fd(): number {
    return this.#listener.fd;
  }

  /** Lets connections wait in the backlog. */
  pause(): void {
    if (this.#closed) return;
    if (this.#pause !== null) clearTimeout(this.#pause);
    this.#pause = null;
    this.#watch.stop();
  }

  resume(): void {
    if (!this.#closed) this.#watch.start(true, false);
  }

  close(): void {
    if (this.#closed) return;
    this.pause();
    this.#closed = true;
    this.#watch.close();
    this.#listener.close();
  }

  #accept(): void {
    try {
      for (let i = 0; i < ACCEPT_BURST && !this.#closed; i++) {
        const socket = binding.socketAccept(this.#listener.fd);
        if (socket < 0) return;
        this.#admit(socket);
      }
    } catch (error) {
      this.#onError(error);
      this.#watch.stop();
      this.#pause = setTimeout(() => {
        this.#pause = null;
        this.#watch.start(true, false);
      }, PAUSE_MS);
    }
  }

  #admit(socket: number): void {
    try {
      this.#onConnection(socket);
    } catch (error) {
      closeSync(socket);
      throw error;
    }
  }
}
