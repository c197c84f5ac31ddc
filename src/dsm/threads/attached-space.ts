import { IvshmemError } from '../../errors/index.ts';
import { binding, type FdWatch } from '../../native/binding.ts';
import type { ThreadSeat } from '../../native/thread-binding.ts';
import { Heap } from '../heap/heap.ts';
import { NamedObjects } from '../sync/named-objects.ts';
import type { Synchronization } from '../sync/synchronization.ts';
import type { SpaceShare } from './share.ts';
import type { ThreadParty } from './thread-party.ts';

/** What an attached space is made of. */
export interface AttachedParts {
  readonly buffer: ArrayBuffer;
  readonly synchronization: Synchronization;
  readonly party: ThreadParty;
  readonly native: ThreadSeat;
  /** Frees the seat and unmaps. */
  close(): void;
}

/**
 * A space that another thread of this process opened. When that one closes it, `buffer` shows zeros at once, and is detached as soon as this
 * thread hears of it; what waits here ends with ERR_IVSHMEM_CLOSED. Its objects are those of Space by name, and can block this thread
 * too: lockSync() and so on.
 */
export class AttachedSpace extends NamedObjects {
  readonly name: string;
  /** Size in bytes, also when it is closed. */
  readonly byteLength: number;
  /** All of it. Detached (length 0) once closed. */
  readonly buffer: ArrayBuffer;
  readonly #parts: AttachedParts;
  readonly #watch: FdWatch;
  #heap: Heap | null = null;
  #closed = false;

  /** Made by attachSpace. */
  constructor(share: SpaceShare, parts: AttachedParts) {
    super();
    this.name = share.name;
    this.buffer = parts.buffer;
    this.byteLength = parts.buffer.byteLength;
    this.#parts = parts;
    this.#watch = new binding.FdWatch(parts.native.fd, () => {
      parts.native.drain();
      if (!this.closed) parts.party.woken();
    });
    this.#watch.start(true, false);
  }

  /** Whether it was closed, here or by the thread that opened it. */
  get closed(): boolean {
    if (!this.#closed && this.#parts.native.over()) this.close();
    return this.#closed;
  }

  /** Lets go of the space in this thread alone: what it holds counts as left behind, `buffer` is detached. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const { native, synchronization, close } = this.#parts;
    this.#watch.close();
    if (native.over()) synchronization.fail();
    else synchronization.close();
    close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** As Space.heap(). */
  heap(): Heap {
    const sync = this.keeper('heap', 'heap');
    this.#heap ??= new Heap({ buffer: this.buffer }, sync);
    return this.#heap;
  }

  protected override keeper(kind: string, name: string): Synchronization {
    if (this.closed) throw new IvshmemError('ERR_IVSHMEM_SYNC_CLOSED', { kind, name });
    return this.#parts.synchronization;
  }
}
