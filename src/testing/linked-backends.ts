import { closeSync, openSync } from 'node:fs';
import type { Backend, DoorbellPlace, MemoryFile, Part } from '../backend/backend.ts';
import { binding, type Mapping } from '../native/binding.ts';
import { Parts } from '../native/parts.ts';

export interface LinkedBackendsOptions {
  /** Vectors per peer (default 2). 0: polled, as uio is. */
  readonly vectors?: number;
}

/** A backend whose unplugging a test can stage. */
export interface LinkedBackend extends Backend {
  /** What a hot-unplug does: onRemoving runs, memory turns to zero pages, rings go nowhere, onRemoved runs. */
  unplug(): void;
}

/**
 * Several peers in one process, without server, QEMU or root: one sealed memfd that each maps for itself, and real eventfds for
 * doorbells. Peer n has ivPosition n. Close each of them.
 */
export function linkedBackends(
  peers: number,
  sizeBytes: number,
  options: LinkedBackendsOptions = {},
): LinkedBackend[] {
  const { vectors = 2 } = options;
  const memfd = binding.createMemfd('ivshmem-linked', sizeBytes, true, false);
  try {
    const linked: Linked[] = [];
    for (let peer = 0; peer < peers; peer++) {
      const eventfds = Array.from({ length: vectors }, () => binding.eventfdCreate());
      // Each its own, as processes have: O_RDWR of the same file.
      const file = openSync(`/proc/self/fd/${memfd}`, 'r+');
      linked.push(new Linked(peer, file, binding.mapFile(file, 0, sizeBytes, true), eventfds, linked));
    }
    return linked;
  } finally {
    closeSync(memfd);
  }
}

class Linked implements LinkedBackend {
  readonly kind = 'host';
  readonly on: string;
  readonly ivPosition: number;
  readonly memory: Mapping;
  readonly #file: number;
  readonly #parts = new Parts();
  readonly #eventfds: readonly number[];
  readonly #all: readonly Linked[];
  readonly #removing: (() => void)[] = [];
  readonly #removed: (() => void)[] = [];
  #state: 'open' | 'removed' | 'closed' = 'open';

  constructor(
    peer: number,
    file: number,
    memory: Mapping,
    eventfds: readonly number[],
    all: readonly Linked[],
  ) {
    this.#file = file;
    this.ivPosition = peer;
    this.on = `linked peer ${peer}`;
    this.memory = memory;
    this.#eventfds = eventfds;
    this.#all = all;
  }

  get interrupts(): readonly number[] {
    return this.#eventfds;
  }

  mapPart(offset: number, bytes: number): Mapping {
    return this.#parts.add(binding.mapFile(this.#file, offset, bytes, true));
  }

  mapWith(make: (file: MemoryFile) => Part): () => void {
    return this.#parts.adopt(make({ fd: this.#file, offset: 0 }));
  }

  ring(peer: number, vector: number): void {
    if (this.#state === 'open') this.#all[peer]?.interrupt(vector);
  }

  doorbell(peer: number, vector: number): DoorbellPlace | null {
    const eventfd = this.#all[peer]?.interrupts[vector];
    return eventfd === undefined ? null : { eventfd };
  }

  /** What the device does with a doorbell for this peer. */
  interrupt(vector: number): void {
    const eventfd = this.#eventfds[vector];
    if (this.#state === 'open' && eventfd !== undefined) binding.eventfdSignal(eventfd);
  }

  onRemoving(callback: () => void): void {
    this.#removing.push(callback);
  }

  onRemoved(callback: () => void): void {
    this.#removed.push(callback);
  }

  unplug(): void {
    if (this.#state !== 'open') return;
    for (const callback of this.#removing.splice(0)) callback();
    this.#state = 'removed';
    this.memory.revoke();
    this.#parts.revoke();
    for (const callback of this.#removed.splice(0)) callback();
  }

  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#parts.close();
    this.memory.close();
    closeSync(this.#file);
    for (const eventfd of this.#eventfds) closeSync(eventfd);
  }
}
