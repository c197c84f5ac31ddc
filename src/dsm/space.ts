import type { MappedPart } from '../membership/index.ts';
import type { Party } from './party.ts';
import { setSpaceMemory } from './space-memory.ts';

/** What a space is made of. */
export interface SpaceParts {
  readonly name: string;
  readonly created: boolean;
  readonly persistent: boolean;
  readonly system: MappedPart;
  readonly user: MappedPart;
  readonly party: Party;
  /** Tells the server that this member holds it no more. */
  release(): Promise<void>;
  waiting(change: 1 | -1): void;
}

/**
 * Memory that all members of a region see which opened it by the same name. `buffer` is an ArrayBuffer like any other: other members store to
 * it at any time, and what order they see stores in is for Atomics, or for the objects that synchronize.
 */
export class Space {
  readonly name: string;
  /** Size in bytes, also when it is closed. */
  readonly byteLength: number;
  /** Whether opening it made it: its memory was all zero then. */
  readonly created: boolean;
  /** As of when it was opened. */
  readonly persistent: boolean;
  /** All of it. Detached (length 0) once the space is closed; zeros after an unplug until then. */
  readonly buffer: ArrayBuffer;
  readonly #parts: SpaceParts;
  readonly #onClosed = new Set<() => void>();
  #holds = 1;

  /** Made by openSpace. */
  constructor(parts: SpaceParts) {
    const { name, created, persistent, system, user, party } = parts;
    this.#parts = parts;
    this.name = name;
    this.created = created;
    this.persistent = persistent;
    this.buffer = user.buffer;
    this.byteLength = user.buffer.byteLength;
    const onClosed = this.#onClosed;
    setSpaceMemory(this, {
      system: system.buffer,
      buffer: user.buffer,
      party,
      onClosed(callback) {
        onClosed.add(callback);
        return () => void onClosed.delete(callback);
      },
      waiting: (change) => parts.waiting(change),
    });
  }

  get closed(): boolean {
    return this.#holds === 0;
  }

  /**
   * Lets go of the space, once for each time it was opened; the last time its memory is detached, at once, and the server told. Resolves
   * when the server has heard. Idempotent after that. Rejects with ERR_IVSHMEM_SERVER_SILENT when it does not answer for 10 s: the space
   * is let go of when this member leaves.
   */
  async close(): Promise<void> {
    if (this.#holds > 1) this.#holds--;
    else if (this.#holds === 1) {
      this.shut();
      await this.#parts.release();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** For openSpace: opened once more. */
  hold(): void {
    this.#holds++;
  }

  /** For the region: detaches the memory without telling the server. Idempotent. */
  shut(): void {
    if (this.closed) return;
    this.#holds = 0;
    try {
      for (const callback of [...this.#onClosed]) callback();
    } finally {
      this.#onClosed.clear();
      this.#parts.user.close();
      this.#parts.system.close();
    }
  }
}
