import { IvshmemError } from '../../errors/index.ts';
import type { Exchange } from '../sync/exchange.ts';
import { INDEX_W, LIVES_W, SEATS_W, SYNC_BYTES } from '../sync/layout.ts';
import { type Moving, Synchronization } from '../sync/synchronization.ts';
import type { SpreadMapping } from './mapping.ts';
import type { Pin } from './pins.ts';
import { Seats } from './seats.ts';

/** Pages of the smallest size: a lock that is passed between hosts takes its page along. */
export const LOCKS_PAGE_SHIFT = 12;
export const LOCKS_BYTES = SYNC_BYTES;
const PAGE = 2 ** LOCKS_PAGE_SHIFT;
/** Lives, index and seats: what every object needs to look at, and what hardly ever changes. */
const COMMON_BYTES = 3 * PAGE;
const pageOf = (offset: number): number => offset - (offset % PAGE);
/**
 * What opening stores to, its life and its seat, and copies of all the rest: a page that is taken to write is on no other host any more, and
 * goes with this one if it dies.
 */
const OPENING = [
  { offset: LIVES_W * 4, length: PAGE, access: 'write' },
  { offset: INDEX_W * 4, length: PAGE, access: 'read' },
  { offset: SEATS_W * 4, length: PAGE, access: 'write' },
  { offset: COMMON_BYTES, length: LOCKS_BYTES - COMMON_BYTES, access: 'read' },
] as const;

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
    const pins: Pin[] = [];
    let locks: Locks | null = null;
    try {
      mapping.hint(operation, 0, LOCKS_BYTES, 'will-read');
      // In the order of addresses: then no two wait for each other.
      for (const { offset, length, access } of OPENING)
        pins.push(await mapping.acquire(operation, offset, length, access));
      locks = new Locks(parts);
      // Had it ended before, what was just written would have gone to memory that nobody else sees.
      (await mapping.acquire(operation, 0, LOCKS_BYTES, 'read')).release();
      locks.#seats.callAll();
      return locks;
    } catch (error) {
      if (locks !== null) locks.#stop(false);
      throw error;
    } finally {
      for (const pin of pins) pin.release();
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
    this.#timer = setInterval(() => this.#copy(), COPY_MS).unref();
    // Somebody has changed something.
    this.#seats.onWake(() => this.#copy());
  }

  #copy(): void {
    const { mapping } = this.#parts;
    if (mapping.usable) mapping.hint('copy', 0, LOCKS_BYTES, 'will-read');
  }

  gone(heard?: Error): Error {
    const cause = heard ?? this.#parts.mapping.ended ?? undefined;
    const params = { name: this.#parts.name, why: cause?.message ?? 'its memory shows something else' };
    return new IvshmemError('ERR_IVSHMEM_SYNC_GONE', params, { cause });
  }

  resident(offset: number): boolean {
    const { mapping } = this.#parts;
    // What is closed, or was revoked, does not wait.
    if (!mapping.usable) return true;
    return mapping.has(0, COMMON_BYTES, 'read') && mapping.has(pageOf(offset), PAGE, 'write');
  }

  readable(offset: number): boolean {
    const { mapping } = this.#parts;
    return (
      mapping.usable && mapping.has(0, COMMON_BYTES, 'read') && mapping.has(pageOf(offset), PAGE, 'read')
    );
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
