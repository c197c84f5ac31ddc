import { IvshmemError } from '../errors/index.ts';
import type { MappedPart } from '../membership/index.ts';
import { Heap } from './heap/heap.ts';
import type { Party } from './party.ts';
import { setSpaceMemory, spaceMemory } from './space-memory.ts';
import type { Barrier } from './sync/barrier.ts';
import type { Condition } from './sync/condition.ts';
import type { Counter } from './sync/counter.ts';
import type { Mutex } from './sync/mutex.ts';
import type { Once } from './sync/once.ts';
import type { RwLock } from './sync/rwlock.ts';
import type { Semaphore } from './sync/semaphore.ts';
import { Synchronization } from './sync/synchronization.ts';

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
  #synchronization: Synchronization | null = null;
  #heap: Heap | null = null;

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

  /** One at a time. As with all that follow: found by its name, and made when there is none (docs/dsm-synchronization.md). */
  mutex(name: string): Mutex {
    return this.#sync('mutex', name).mutex(name);
  }

  /** Many readers or one writer. */
  rwlock(name: string): RwLock {
    return this.#sync('rwlock', name).rwlock(name);
  }

  /** Permits; `initial` (default 0) of them when it is made. */
  semaphore(name: string, options?: { readonly initial?: number }): Semaphore {
    return this.#sync('semaphore', name).semaphore(name, options);
  }

  /** Waiting for what a mutex protects to change. */
  condition(name: string): Condition {
    return this.#sync('condition', name).condition(name);
  }

  /** `parties` wait for each other, again and again. */
  barrier(name: string, options: { readonly parties: number }): Barrier {
    return this.#sync('barrier', name).barrier(name, options);
  }

  /** A 64-bit number to add to, and to wait for. */
  counter(name: string): Counter {
    return this.#sync('counter', name).counter(name);
  }

  /** Something done once. */
  once(name: string): Once {
    return this.#sync('once', name).once(name);
  }

  /** Memory by the piece. It takes the whole of `buffer`, and the first use in the life of the space makes it. */
  heap(): Heap {
    const sync = this.#sync('heap', 'heap');
    this.#heap ??= new Heap(spaceMemory(this), sync);
    return this.#heap;
  }

  #sync(kind: string, name: string): Synchronization {
    if (this.closed) throw new IvshmemError('ERR_IVSHMEM_SYNC_CLOSED', { kind, name });
    if (this.#synchronization === null) {
      const memory = spaceMemory(this);
      const sync = new Synchronization(memory, (change) => memory.waiting(change));
      memory.onClosed(() => sync.close());
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
