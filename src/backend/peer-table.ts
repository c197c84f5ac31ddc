import { closeSync } from 'node:fs';

/** Eventfds by peer and vector, as a client of the ivshmem client-server protocol learns of them. Owns them. */
export class PeerTable {
  readonly #peers = new Map<number, number[]>();

  /** The N-th descriptor announced for a peer is its vector N-1. Past `limit` it is closed, as QEMU does. */
  add(peer: number, eventfd: number, limit: number): void {
    let vectors = this.#peers.get(peer);
    if (vectors === undefined) {
      vectors = [];
      this.#peers.set(peer, vectors);
    }
    if (vectors.length < limit) vectors.push(eventfd);
    else closeSync(eventfd);
  }

  /** The peer left. */
  remove(peer: number): void {
    for (const eventfd of this.#peers.get(peer) ?? []) closeSync(eventfd);
    this.#peers.delete(peer);
  }

  /** The eventfds of a peer; the array is live. */
  of(peer: number): readonly number[] {
    return this.#peers.get(peer) ?? [];
  }

  eventfd(peer: number, vector: number): number | undefined {
    return this.#peers.get(peer)?.[vector];
  }

  close(): void {
    for (const peer of [...this.#peers.keys()]) this.remove(peer);
  }
}
