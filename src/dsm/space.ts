import { IvshmemError } from '../errors/index.ts';
import type { Attachment, MappedPart } from '../membership/index.ts';
import { Heap } from './heap/heap.ts';
import type { Party } from './party.ts';
import { setSpaceMemory, spaceMemory } from './space-memory.ts';
import { NamedObjects } from './sync/named-objects.ts';
import { Synchronization } from './sync/synchronization.ts';
import { refused } from './threads/attach.ts';
import type { SpaceShare } from './threads/share.ts';
import { Sharing } from './threads/sharing.ts';

/** What a space is made of. */
export interface SpaceParts {
  readonly name: string;
  readonly created: boolean;
  readonly persistent: boolean;
  readonly system: MappedPart;
  readonly user: MappedPart;
  readonly party: Party;
  readonly attachment: Attachment;
  /** Where `system` is in the region, bytes; `user` follows. */
  readonly at: number;
  /** Tells the server that this member holds it no more. */
  release(): Promise<void>;
  waiting(change: 1 | -1): void;
}

/**
 * Memory that all members of a region see which opened it by the same name. `buffer` is an ArrayBuffer like any other: other members store to
 * it at any time, and what order they see stores in is for Atomics, or for the objects that synchronize.
 */
export class Space extends NamedObjects {
  readonly spread = false;
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
  #synchronization: Synchronization | null = null;
  #heap: Heap | null = null;
  #sharing: Sharing | null = null;

  /** Made by openSpace. */
  constructor(parts: SpaceParts) {
    super();
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

  /** Memory by the piece. It takes the whole of `buffer`, and the first use in the life of the space makes it. */
  heap(): Heap {
    const sync = this.keeper('heap', 'heap');
    this.#heap ??= new Heap(spaceMemory(this), sync);
    return this.#heap;
  }

  /**
   * What other threads of this process (workers) need to use the space, by attachSpace(): plain data for postMessage or workerData, good
   * until this space is closed. Errors: ERR_IVSHMEM_SHARE, ERR_IVSHMEM_SYNC_CLOSED.
   */
  share(): SpaceShare {
    if (this.#sharing === null) {
      const sync = this.keeper('share', this.name);
      const { attachment, at, system } = this.#parts;
      const { name, created, persistent, byteLength: bytes } = this;
      const systemBytes = system.buffer.byteLength;
      try {
        this.#sharing = new Sharing({ name, created, persistent, attachment, at, systemBytes, bytes }, sync);
      } catch (cause) {
        throw refused(name, (cause as Error).message, cause);
      }
    }
    return this.#sharing.share;
  }

  protected override keeper(kind: string, name: string): Synchronization {
    if (this.closed) throw new IvshmemError('ERR_IVSHMEM_SYNC_CLOSED', { kind, name });
    if (this.#synchronization === null) {
      const memory = spaceMemory(this);
      const sync = new Synchronization(memory, (change) => memory.waiting(change));
      memory.onClosed(() => {
        // Cut off before others hear that what they held is left behind: none of them writes to what somebody else has by then.
        this.#sharing?.close();
        sync.close();
      });
      this.#synchronization = sync;
    }
    return this.#synchronization;
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
