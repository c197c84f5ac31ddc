import { IvshmemError } from '../../errors/index.ts';
import type { SpaceMemory } from '../party.ts';
import type { WaitOptions } from '../sync/blocking.ts';
import type { Synchronization } from '../sync/synchronization.ts';
import { Blocks, Damaged, FIRST_BLOCK } from './blocks.ts';
import { HEAP_W, LEAST_BYTES, LEAST_UNITS, LISTS, listOf, MOST_BYTES, UNIT } from './layout.ts';
import { HeapLock, PATIENCE_MS } from './lock.ts';
import { Transaction } from './transaction.ts';

/** The word after the lock's: not 0 once the heap was made. */
const MADE = 1;
const MOST_ALIGN = 4096;

export interface HeapStatistics {
  /** Of the whole heap, with everything it needs for itself. */
  readonly bytes: number;
  /** In blocks that were allocated, with their headers (16 bytes each). */
  readonly usedBytes: number;
  readonly usedBlocks: number;
}

/**
 * Memory in a space by the piece, shared by all members: any may free what another allocated. Pieces are named by their byte
 * offset in `space.buffer`, which is the same everywhere. Each change is made wholly or not at all, whoever dies in the middle.
 *
 * The heap takes the whole of `space.buffer`; its first use, by whomever, makes it.
 */
export class Heap {
  readonly #words: Int32Array;
  readonly #sync: Synchronization;
  readonly #lock: HeapLock;
  readonly #tx: Transaction;
  readonly #blocks: Blocks;
  readonly #units: number;
  readonly buffer: ArrayBuffer;

  constructor(memory: Pick<SpaceMemory, 'buffer'>, sync: Synchronization, patienceMs: number = PATIENCE_MS) {
    this.#sync = sync;
    const bytes = memory.buffer.byteLength;
    if (bytes < LEAST_BYTES || bytes > MOST_BYTES) throw new IvshmemError('ERR_IVSHMEM_HEAP_SIZE', { bytes });
    this.buffer = memory.buffer;
    this.#words = new Int32Array(memory.buffer, 0, Math.floor(bytes / UNIT) * 4);
    this.#units = this.#words.length / 4;
    this.#tx = new Transaction(this.#words, () => sync.exchange.releaseNow());
    this.#blocks = new Blocks(this.#tx, this.#units);
    const word = sync.word('heap', 'heap');
    this.#lock = new HeapLock(sync.words, word, sync.lives, patienceMs);
    this.#locked('make a heap', () => {
      // Who died while making it has not said that it is made: it is made again.
      if (Atomics.load(sync.words, word + MADE) === 0) {
        this.#words.fill(0, 0, HEAP_W.journal + 1);
        this.#words[HEAP_W.units] = this.#units;
        this.#tx.begin();
        this.#blocks.format();
        this.#tx.commit();
        sync.exchange.releaseNow();
        Atomics.store(sync.words, word + MADE, 1);
      }
    });
  }

  /**
   * The offset of `bytes` bytes at a multiple of `align` (a power of two from 16 to 4096), with whatever content the last user left; 0 when
   * there is no room. With `into`, an offset of a pointer (see struct), the new offset is stored there in the same step: no death can
   * come between, and lose the piece.
   */
  alloc(
    bytes: number,
    { align = UNIT, into }: { readonly align?: number; readonly into?: number } = {},
  ): number {
    const operation = 'allocate';
    if (!Number.isSafeInteger(bytes) || bytes < 1)
      throw this.#argument(operation, 'size', bytes, 'a whole number of bytes from 1');
    if (!(align >= UNIT && align <= MOST_ALIGN) || (align & (align - 1)) !== 0)
      throw this.#argument(operation, 'align', align, `a power of two from ${UNIT} to ${MOST_ALIGN}`);
    const target = into === undefined ? undefined : this.#pointer(operation, into);
    const units = Math.max(LEAST_UNITS, Math.ceil(bytes / UNIT) + 1);
    if (units >= this.#units) return 0;
    return this.#change(operation, () => {
      const block = this.#blocks.take(units, align / UNIT);
      if (block < 0) return 0;
      const offset = (block + 1) * UNIT;
      if (target !== undefined) this.#store(target, offset);
      return offset;
    });
  }

  /**
   * Frees what alloc() gave. With `from`, the offset of the pointer to it, that is set to 0 in the same step. Errors:
   * ERR_IVSHMEM_HEAP_ARGUMENT for anything else, also for what was freed before; nothing is lost by it.
   */
  free(offset: number, { from }: { readonly from?: number } = {}): void {
    const operation = 'free';
    const target = from === undefined ? undefined : this.#pointer(operation, from);
    this.#change(operation, () => {
      const block = offset / UNIT - 1;
      if (!this.#blocks.isBlock(block) || !this.#blocks.used(block) || !this.#blocks.guarded(block))
        throw this.#argument(
          operation,
          'offset',
          offset,
          'one that alloc() gave and that was not freed since',
        );
      this.#blocks.give(block);
      if (target !== undefined) this.#store(target, 0);
    });
  }

  /**
   * Waits until nobody is in the middle of a change, without standing in the way of the event loop: what to do upon
   * ERR_IVSHMEM_HEAP_BUSY, before the same again. True then; false after the timeout.
   */
  whenFree(options: WaitOptions = {}): Promise<boolean> {
    return this.#lock.whenFree(options);
  }

  /** An offset that programs agree to begin with: 0 until somebody sets it. */
  get root(): number {
    // What it leads to was stored before it, and is to be loaded so.
    if (this.#sync.exchange.needed)
      return this.#change('read the root', () => this.#tx.get(HEAP_W.root) >>> 0) * UNIT;
    return (Atomics.load(this.#words, HEAP_W.root) >>> 0) * UNIT;
  }

  set root(offset: number) {
    if (!Number.isInteger(offset / UNIT) || offset < 0 || offset >= this.#units * UNIT)
      throw this.#argument('set the root', 'offset', offset, 'one of alloc(), or 0');
    if (!this.#sync.exchange.needed) Atomics.store(this.#words, HEAP_W.root, offset / UNIT);
    else this.#change('set the root', () => this.#tx.set(HEAP_W.root, (offset / UNIT) | 0));
  }

  get statistics(): HeapStatistics {
    return this.#change('look', () => ({
      bytes: this.#units * UNIT,
      usedBytes: this.#tx.get(HEAP_W.usedUnits) * UNIT,
      usedBlocks: this.#tx.get(HEAP_W.usedBlocks),
    }));
  }

  /** Walks the whole heap with its lock held, which takes time: ERR_IVSHMEM_HEAP_DAMAGED if something is wrong. For tests and inquests. */
  check(): HeapStatistics {
    this.#change('check', () => {
      const blocks = this.#blocks;
      const free = new Set<number>();
      let before = 0;
      let usedUnits = 0;
      let usedBlocks = 0;
      let block = FIRST_BLOCK;
      let merged = true;
      for (; block !== blocks.last; block += before) {
        const used = blocks.used(block);
        if (blocks.before(block) !== before || (!used && !merged)) throw new Damaged(block);
        before = blocks.size(block);
        if (used && !blocks.guarded(block)) throw new Damaged(block);
        if (used) {
          usedUnits += before;
          usedBlocks++;
        } else free.add(block);
        merged = used;
      }
      if (!blocks.used(block) || blocks.before(block) !== before) throw new Damaged(block);
      for (let list = 0; list < LISTS; list++)
        for (let at = blocks.head(list); at !== 0; at = blocks.next(at))
          if (!free.delete(at) || listOf(blocks.size(at)) !== list) throw new Damaged(at);
      const counted =
        this.#tx.get(HEAP_W.usedUnits) === usedUnits && this.#tx.get(HEAP_W.usedBlocks) === usedBlocks;
      if (free.size > 0 || !counted) throw new Damaged(0);
    });
    return this.statistics;
  }

  #change<T>(operation: string, change: () => T): T {
    return this.#locked(operation, () => this.#changed(operation, change));
  }

  #changed<T>(operation: string, change: () => T): T {
    try {
      // A length in the journal is a dead owner's: what it had decided is done first.
      if (!this.#tx.recover() || this.#words[HEAP_W.units] !== this.#units) throw new Damaged(0);
      this.#tx.begin();
      const result = change();
      this.#tx.commit();
      return result;
    } catch (error) {
      if (!(error instanceof Damaged)) throw error;
      const offset = error.block * UNIT;
      throw new IvshmemError('ERR_IVSHMEM_HEAP_DAMAGED', { operation, offset }, { cause: error });
    }
  }

  /** With the lock; what is loaded is what the last owner stored, and what is stored the next one loads. */
  #locked<T>(operation: string, action: () => T): T {
    const { exchange } = this.#sync;
    this.#lock.take(operation);
    try {
      this.#requireIntact();
      exchange.acquireNow();
      try {
        return action();
      } finally {
        exchange.releaseNow();
      }
    } finally {
      // To the others this member is dead, if what it stored cannot be sent: then they find the lock left behind.
      if (!exchange.needed || this.#sync.open) this.#lock.give();
    }
  }

  /** The lock may have been taken in memory that nobody else sees. */
  #requireIntact(): void {
    if (!this.#sync.intact && this.#sync.failure !== null) throw this.#sync.failure;
  }

  /** The word of a pointer at a byte offset. */
  #pointer(operation: string, offset: number): number {
    if (!Number.isInteger(offset / 8) || offset < FIRST_BLOCK * UNIT || offset + 8 > this.#blocks.last * UNIT)
      throw this.#argument(operation, 'pointer', offset, 'the offset of a pointer inside an allocated piece');
    return offset / 4;
  }

  #store(word: number, offset: number): void {
    this.#tx.set(word, offset | 0);
    this.#tx.set(word + 1, Math.floor(offset / 2 ** 32));
  }

  #argument(operation: string, parameter: string, found: number, wanted: string): IvshmemError {
    return new IvshmemError('ERR_IVSHMEM_HEAP_ARGUMENT', { operation, parameter, found, wanted });
  }
}
