import { Holds } from '../membership/index.ts';
import type { Channel } from './channel.ts';

/** Waits for channels that members connect to one service. */
export class Listener {
  readonly service: string;
  /** The server's number for it. */
  readonly id: number;
  readonly #holds: Holds;
  readonly #unlisten: () => void;
  readonly #backlog: Channel[] = [];
  readonly #acceptors: ((channel: Channel | null) => void)[] = [];
  #closed = false;

  constructor(service: string, id: number, waiting: (change: 1 | -1) => void, unlisten: () => void) {
    this.service = service;
    this.id = id;
    this.#holds = new Holds(waiting);
    this.#unlisten = unlisten;
    this.#holds.wait(1);
  }

  /** The next channel; null once the listener is closed. */
  accept(): Promise<Channel | null> {
    const channel = this.#backlog.shift();
    if (channel !== undefined || this.#closed) return Promise.resolve(channel ?? null);
    return new Promise((resolve) => this.#acceptors.push(resolve));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Channel, void, void> {
    for (let channel = await this.accept(); channel !== null; channel = await this.accept()) yield channel;
  }

  /** For the region: a member connected. */
  deliver(channel: Channel): void {
    const acceptor = this.#acceptors.shift();
    if (acceptor) acceptor(channel);
    else this.#backlog.push(channel);
  }

  /** Stops listening; channels not accepted are closed, accepted ones live on. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#holds.wait(-1);
    for (const channel of this.#backlog.splice(0)) channel.close();
    for (const acceptor of this.#acceptors.splice(0)) acceptor(null);
    this.#unlisten();
  }

  /** From now on listening does not keep the process alive. */
  unref(): void {
    this.#holds.unref();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
