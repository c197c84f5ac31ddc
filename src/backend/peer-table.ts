import { closeSync } from 'node:fs';

/** Eventfds by peer and vector, as a client of the ivshmem client-server protocol learns of them. Owns them. */
export class PeerTable {
  readonly #peers = new Map<number, number[]>();
  readonly #callbacks = new Set<(peer: number) => void>();

  /** The N-th descriptor announced for a peer is its vector N-1. Past `limit` it is closed, as QEMU does. */
  add(peer: number, eventfd: number, limit: number): void {
    let vectors = this.#peers.get(peer);
    if (vectors === undefined) {
      vectors = [];
      this.#peers.set(peer, vectors);
    }
    if (vectors.length < limit) vectors.push(eventfd);
    else closeSync(eventfd);
    this.#changed(peer);
  }

  /** The peer left. */
  remove(peer: number): void {
    for (const eventfd of this.#peers.get(peer) ?? []) closeSync(eventfd);
    this.#peers.delete(peer);
    this.#changed(peer);
  }

  /** Calls back with a peer whose eventfds are others now, or none. Returns how to stop. */
  onChange(callback: (peer: number) => void): () => void {
    this.#callbacks.add(callback);
    return () => void this.#callbacks.delete(callback);
  }

  /** The eventfds of a peer; the array is live. */
  of(peer: number): readonly number[] {
    return this.#peers.get(peer) ?? [];
  }

  eventfd(peer: number, vector: number): number | undefined {
    return this.#peers.get(peer)?.[vector];
  }

  close(): void {
    this.#callbacks.clear();
    for (const peer of [...this.#peers.keys()]) this.remove(peer);
  }

  #changed(peer: number): void {
    for (const callback of this.#callbacks) callback(peer);
  }
}
