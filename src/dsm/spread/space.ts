import { IvshmemError } from '../../errors/index.ts';
import type { Consistency } from '../../memory/layout.ts';
import type { SpreadCounts } from '../../native/binding.ts';
import { Heap } from '../heap/heap.ts';
import { type Exchange, NO_EXCHANGE } from '../sync/exchange.ts';
import { NamedObjects } from '../sync/named-objects.ts';
import type { Synchronization } from '../sync/synchronization.ts';
import { PageExchange } from './exchange.ts';
import type { Locks } from './locks.ts';
import type { SpreadMapping } from './mapping.ts';
import type { Pin } from './pins.ts';

/** What a spread space is made of. */
export interface SpreadParts {
  readonly name: string;
  readonly created: boolean;
  readonly persistent: boolean;
  readonly mapping: SpreadMapping;
  readonly consistency: Consistency;
  readonly replicas: number;
  /** Tells the server that this member holds it no more. */
  release(): Promise<void>;
}

/**
 * Memory that all members see which opened it by the same name, on whichever host: its pages move to where they are used. `buffer` is an
 * ArrayBuffer like any other; an access to a page that is not here waits for it, without the event loop.
 */
export class SpreadSpace extends NamedObjects {
  readonly spread = true;
  readonly name: string;
  /** Size in bytes, also when it is closed. */
  readonly byteLength: number;
  /** Of a page: what moves between hosts at once. */
  readonly pageBytes: number;
  /** Whether opening it made it: its memory was all zero then. */
  readonly created: boolean;
  /** As of when it was opened. */
  readonly persistent: boolean;
  /** All of it. Detached (length 0) once the space is closed; zeros after an unplug until then. */
  readonly buffer: ArrayBuffer;
  /** When a store of one host is seen on another: docs/dsm-hosts.md. */
  readonly consistency: Consistency;
  /** How many hosts are to have each page. */
  readonly replicas: number;
  /** For openSpace. */
  readonly mapping: SpreadMapping;
  /** For openSpace. */
  readonly exchange: Exchange;
  readonly #parts: SpreadParts;
  #locks: Locks | null = null;
  #heap: Heap | null = null;
  #holds = 1;

  /** Made by openSpace. */
  constructor(parts: SpreadParts) {
    super();
    const { name, created, persistent, mapping, consistency, replicas } = parts;
    this.#parts = parts;
    this.mapping = mapping;
    this.consistency = consistency;
    this.replicas = replicas;
    this.exchange = consistency === 'release' ? new PageExchange(mapping, name) : NO_EXCHANGE;
    this.name = name;
    this.created = created;
    this.persistent = persistent;
    this.buffer = mapping.buffer;
    this.byteLength = mapping.buffer.byteLength;
    this.pageBytes = mapping.pageBytes;
  }

  /**
   * Of a space with more than one of `replicas`: how many hosts have a page, of that which the fewest have, as this host knows. Fewer than
   * `replicas` where there are not so many hosts, or they have no room, and for some time after one has died; 0 when pages are lost.
   */
  get copies(): number {
    return this.replicas > 1 ? this.mapping.copies : 1;
  }

  get closed(): boolean {
    return this.#holds === 0;
  }

  /**
   * Has all pages of [offset, offset + length) here at the same time, to read or to write, until the pin is released: for system calls
   * on the memory, which cannot wait for a page, and to fetch many at once. Others that want them wait, but for a second at most; then
   * the pin ends by itself, and the pages move as any others do.
   *
   * Rejects with ERR_IVSHMEM_SPREAD_RANGE, ERR_IVSHMEM_PAGES_LOST (a host that had one died), _PAGES_FENCED (this host lost touch with
   * the others), _PAGES_SILENT, _PAGES_BROKEN, ERR_IVSHMEM_CLOSED.
   */
  acquire(offset: number, length: number, access: 'read' | 'write'): Promise<Pin> {
    return this.mapping.acquire(`acquire a part of the space ${this.name}`, offset, length, access);
  }

  /**
   * `will-read` and `will-write` ask for pages without waiting for them, as far as there is room for the request; `dont-need` lets go of
   * this member's mappings, so that a page leaves without asking here. Errors: ERR_IVSHMEM_SPREAD_RANGE, ERR_IVSHMEM_CLOSED.
   */
  hint(offset: number, length: number, advice: 'will-read' | 'will-write' | 'dont-need'): void {
    this.mapping.hint(`advise on the space ${this.name}`, offset, length, advice);
  }

  /**
   * Resolves when everything stored here before is what others see: with release consistency those who refresh from then on, on other
   * hosts. In a sequential space stores are never kept back: there is nothing to send, only the processor's own buffer to be emptied.
   *
   * Rejects with ERR_IVSHMEM_PAGES_LOST when something of that is gone with a host (the rest is there), _PAGES_FENCED, _PAGES_REVOKED,
   * _PAGES_SILENT, ERR_IVSHMEM_CLOSED.
   */
  async flush(): Promise<void> {
    this.mapping.fence(`flush the space ${this.name}`);
    await this.exchange.release();
  }

  /**
   * Resolves when what others have flushed before is what is loaded here. With release consistency the copies of pages that this host has
   * are given up for it, when what was stored to them is flushed; in a sequential space there is nothing to do. Rejects as flush() does.
   */
  async refresh(): Promise<void> {
    this.mapping.fence(`refresh the space ${this.name}`);
    await this.exchange.acquire();
  }

  /** What this member asked for and was ordered, in pages; the last numbers once closed. */
  counts(): SpreadCounts {
    return this.mapping.counts();
  }

  /**
   * Lets go of the space: `buffer` is detached at once, with release consistency after a flush(); threads that wait for a page of it go on
   * with zeros. As often as it was opened. Rejects with ERR_IVSHMEM_SERVER_SILENT like that of Space, and as flush() does: then it is
   * closed, too.
   */
  async close(): Promise<void> {
    if (this.#holds > 1) this.#holds--;
    else if (this.#holds === 1) await (this.exchange.needed ? this.#flushAndClose() : this.#close(false));
  }

  async #flushAndClose(): Promise<void> {
    let failure: unknown;
    await this.exchange.release().catch((error: unknown) => {
      failure = error;
    });
    // Meanwhile it was opened once more, or somebody else has closed it.
    if (this.#holds > 1) this.#holds--;
    else if (this.#holds === 1) await this.#close(failure !== undefined);
    else return;
    if (failure !== undefined) throw failure;
  }

  async #close(unseen: boolean): Promise<void> {
    const locks = this.#locks;
    this.#locks = null;
    // While the space is there: what is held is left behind.
    const released = locks?.close(unseen);
    this.shut();
    await Promise.all([released, this.#parts.release()]);
  }

  /** Memory by the piece: see Space.heap(). */
  heap(): Heap {
    this.#heap ??= new Heap(this, this.keeper('heap'));
    return this.#heap;
  }

  /** For programs that have either kind of space: throws ERR_IVSHMEM_SHARE, a worker opens the region and the space by itself. */
  share(): never {
    throw new IvshmemError('ERR_IVSHMEM_SHARE', {
      operation: `share ${this.name} with a thread`,
      why: 'it is spread over hosts: each thread opens the region and the space by itself',
    });
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
    this.#holds = 0;
    this.#locks?.shut();
    this.mapping.close();
  }

  /** For openSpace: whether it has objects that synchronize. */
  get locked(): boolean {
    return this.#locks !== null;
  }

  /** For openSpace. */
  lockWith(locks: Locks): void {
    this.#locks = locks;
  }

  /** Of members of all hosts: the space has to be opened with `locks`. */
  protected override keeper(kind: string): Synchronization {
    if (this.closed) throw new IvshmemError('ERR_IVSHMEM_SYNC_CLOSED', { kind, name: this.name });
    if (this.#locks === null) throw new IvshmemError('ERR_IVSHMEM_SPREAD_SYNC', { kind, name: this.name });
    return this.#locks.synchronization;
  }
}
