import { Client } from './client.ts';

/** Refused connections kept per region; the oldest is closed to make room. */
export const MAX_REFUSED = 32;

/**
 * Connections that were refused and are kept until their client hangs up. Closing at once would be too early for a hot
 * plug: QEMU connects at chardev-add, notices the end there, and then device_add spins for ever on a chardev that gives
 * nothing, instead of reading the refusal.
 */
export class Refused {
  readonly #clients = new Set<Client>();

  /** Sends the refusal and owns the socket from now on. */
  add(socket: number, version: number): void {
    const client: Client = new Client(socket, {
      gone: () => this.#clients.delete(client),
      spoke: () => {},
      stalled: () => {},
      sending: () => {},
      taken: () => {},
    });
    for (const oldest of this.#clients) {
      if (this.#clients.size < MAX_REFUSED) break;
      oldest.close();
      this.#clients.delete(oldest);
    }
    this.#clients.add(client);
    client.send({ values: [version], fds: [-1] });
  }

  close(): void {
    for (const client of this.#clients) client.close();
    this.#clients.clear();
  }
}
