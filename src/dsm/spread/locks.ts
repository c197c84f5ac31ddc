import { IvshmemError } from '../../errors/index.ts';
import type { Exchange } from '../sync/exchange.ts';
import { SYNC_BYTES } from '../sync/layout.ts';
import { type Moving, Synchronization } from '../sync/synchronization.ts';
import type { SpreadMapping } from './mapping.ts';
import { Seats } from './seats.ts';

/** Pages of the smallest size: a lock that is passed between hosts takes its page along. */
export const LOCKS_PAGE_SHIFT = 12;
export const LOCKS_BYTES = SYNC_BYTES;
const PAGE = 2 ** LOCKS_PAGE_SHIFT;
/** Lives, index and seats: what every object needs to look at, and what hardly ever changes. */
const COMMON_BYTES = 3 * PAGE;
const pageOf = (offset: number): number => offset - (offset % PAGE);

/** As Synchronization has it: those who wait look again without being woken. */
const LOOK_AGAIN_MS = 500;
/**
 * How often a copy of what was changed elsewhere is fetched, milliseconds: when a host dies with the only copy of one of these pages,
 * all of them are lost.
 */
const COPY_MS = 250;

/** What a spread space is synchronized with; made by Locks.open. */
export interface LocksParts {
  /** Of the space itself. */
  readonly name: string;
  /** Of the space that has the objects. */
  readonly mapping: SpreadMapping;
  /** Of the space itself. */
  readonly exchange: Exchange;
  /** Lets go of it; the mapping is closed by that. */
  release(): Promise<void>;
  shut(): void;
  waiting(change: 1 | -1): void;
}

/**
 * The named objects of a spread space, in pages of a space of their own. Atomics on a page are atomic among all hosts, because one of them
 * at a time may write it. The rest is as on one host, with seats instead of slots (docs/decisions/dsm-locks.md).
 */
export class Locks implements Moving {
  readonly synchronization: Synchronization;
  readonly exchange: Exchange;
  readonly #parts: LocksParts;
  readonly #seats: Seats;
  readonly #timer: NodeJS.Timeout;

  /** Rejects with what SpreadMapping.acquire does, and ERR_IVSHMEM_SPREAD_SEATS. */
  static async open(operation: string, parts: LocksParts): Promise<Locks> {
    const { mapping } = parts;
    const pin = await mapping.acquire(operation, 0, LOCKS_BYTES, 'write');
    const locks = new Locks(parts);
    try {
      // Had it ended before, what was just written would have gone to memory that nobody else sees.
      (await mapping.acquire(operation, 0, LOCKS_BYTES, 'read')).release();
      return locks;
    } catch (error) {
      locks.#stop(false);
      throw error;
    } finally {
      pin.release();
    }
  }

  private constructor(parts: LocksParts) {
    const { mapping } = parts;
    this.#parts = parts;
    this.exchange = parts.exchange;
    this.#seats = new Seats(mapping.buffer, mapping);
    const memory = { system: mapping.buffer, buffer: mapping.buffer, party: this.#seats };
    const waiting = (change: 1 | -1): void => parts.waiting(change);
    this.synchronization = new Synchronization(memory, waiting, LOOK_AGAIN_MS, this);
    mapping.onEnded((cause) => this.synchronization.fail(cause));
    this.#timer = setInterval(() => {
      if (mapping.usable) mapping.hint('copy', 0, LOCKS_BYTES, 'will-read');
    }, COPY_MS).unref();
  }

  gone(cause?: Error): Error {
    const params = { name: this.#parts.name, why: cause?.message ?? 'its memory shows something else' };
    return new IvshmemError('ERR_IVSHMEM_SYNC_GONE', params, { cause });
  }

  resident(offset: number): boolean {
    const { mapping } = this.#parts;
    // What is closed, or was revoked, does not wait.
    if (!mapping.usable) return true;
    return mapping.has(0, COMMON_BYTES, 'read') && mapping.has(pageOf(offset), PAGE, 'write');
  }

  async fetch(offset: number): Promise<Disposable> {
    const { mapping, name } = this.#parts;
    const operation = `fetch what synchronizes the space ${name}`;
    // In the order of addresses: then no two wait for each other.
    const common = await mapping.acquire(operation, 0, COMMON_BYTES, 'read');
    try {
      const own = await mapping.acquire(operation, pageOf(offset), PAGE, 'write');
      return {
        [Symbol.dispose]: () => {
          own.release();
          common.release();
        },
      };
    } catch (error) {
      common.release();
      throw error;
    }
  }

  /**
   * What is held counts as left behind; nothing is mapped any more when this returns. Resolves when the server knows. `unseen`: what was
   * stored here was not released.
   */
  async close(unseen = false): Promise<void> {
    this.#stop(unseen);
    await this.#parts.release();
  }

  /** Without telling the server. Idempotent. */
  shut(): void {
    this.#stop(this.exchange.needed);
    this.#parts.shut();
  }

  /** Who has not released what it stored is not gone before its node has done that. */
  #stop(unseen: boolean): void {
    clearInterval(this.#timer);
    this.synchronization.close({ unseen });
    this.#seats.close({ unseen });
  }
}
