import { BLOCK_W, guardOf, HEADER_BYTES, HEAP_W, LEAST_UNITS, LISTS, listOf, UNIT } from './layout.ts';
import type { Transaction } from './transaction.ts';

/** Thrown inside a change whose heap makes no sense; nothing was stored then. */
export class Damaged extends Error {
  readonly block: number;

  constructor(block: number) {
    super(`block ${block}`);
    this.block = block;
  }
}

export const FIRST_BLOCK = HEADER_BYTES / UNIT;
/** Free blocks looked at in the one list where a fitting one may or may not be. */
const LOOKS = 16;

/**
 * The blocks of a heap, as numbers of units. All is read and stored through a transaction. Nothing in memory is believed: every number is
 * checked before it is used as a place, and every loop is bounded.
 */
export class Blocks {
  readonly #tx: Transaction;
  /** The used block that ends the heap. */
  readonly #last: number;

  constructor(tx: Transaction, units: number) {
    this.#tx = tx;
    this.#last = units - 1;
  }

  get last(): number {
    return this.#last;
  }

  /** A heap of one free block. Stores directly are the caller's: a heap that is not finished has nobody in it. */
  format(): void {
    const size = this.#last - FIRST_BLOCK;
    this.#set(this.#last, BLOCK_W.size, (1 << 1) | 1);
    this.#set(this.#last, BLOCK_W.before, size);
    this.#set(this.#last, BLOCK_W.next, 0);
    this.#set(FIRST_BLOCK, BLOCK_W.before, 0);
    this.#insert(FIRST_BLOCK, size);
  }

  size(block: number): number {
    const size = this.#get(block, BLOCK_W.size) >>> 1;
    if (size < 1 || block + size > this.#last + 1 || (size < LEAST_UNITS && block !== this.#last))
      throw new Damaged(block);
    return size;
  }

  used(block: number): boolean {
    return (this.#get(block, BLOCK_W.size) & 1) !== 0;
  }

  /** Units of the block before; 0: none. */
  before(block: number): number {
    return this.#get(block, BLOCK_W.before);
  }

  guarded(block: number): boolean {
    return this.#get(block, BLOCK_W.next) === guardOf(block);
  }

  isBlock(block: number): boolean {
    return Number.isInteger(block) && block >= FIRST_BLOCK && block < this.#last;
  }

  /** A used block of `units` whose content begins at a multiple of `align` units; -1: there is none. */
  take(units: number, align: number): number {
    // Room to move: what is left in front has to be a block, or nothing.
    const wanted = align === 1 ? units : units + align + LEAST_UNITS;
    const found = this.#find(wanted);
    if (found < 0) return -1;
    let block = found;
    let size = this.size(block);
    this.#remove(block, size);
    let gap = (align - ((block + 1) % align)) % align;
    if (gap > 0 && gap < LEAST_UNITS) gap += align;
    if (gap > 0) {
      this.#insert(block, gap);
      block += gap;
      size -= gap;
      this.#set(block, BLOCK_W.before, gap);
    }
    if (size - units >= LEAST_UNITS) {
      const rest = block + units;
      this.#set(rest, BLOCK_W.before, units);
      this.#insert(rest, size - units);
      size = units;
    } else this.#set(block + size, BLOCK_W.before, size);
    this.#set(block, BLOCK_W.size, (size << 1) | 1);
    this.#set(block, BLOCK_W.next, guardOf(block));
    this.#set(block, BLOCK_W.previous, 0);
    this.#count(size, 1);
    return block;
  }

  /** Frees a used block, and merges it with the free ones beside it. */
  give(block: number): void {
    let start = block;
    let size = this.size(block);
    this.#count(-size, -1);
    this.#set(block, BLOCK_W.next, 0);
    const after = block + size;
    if (!this.used(after)) {
      const units = this.size(after);
      this.#remove(after, units);
      size += units;
    }
    const before = this.before(block);
    if (before !== 0) {
      const neighbour = block - before;
      if (!this.isBlock(neighbour) || this.size(neighbour) !== before) throw new Damaged(block);
      if (!this.used(neighbour)) {
        this.#remove(neighbour, before);
        start = neighbour;
        size += before;
      }
    }
    this.#insert(start, size);
  }

  /** The first block of a list; 0: none. */
  head(list: number): number {
    return this.#tx.get(HEAP_W.lists + list);
  }

  next(block: number): number {
    return this.#get(block, BLOCK_W.next);
  }

  #find(units: number): number {
    const list = listOf(units);
    // In its own list blocks may be too small; in every one after it all fit.
    let block = this.head(list);
    for (let n = 0; n < LOOKS && block !== 0; n++) {
      this.#requireFree(block);
      if (this.size(block) >= units) return block;
      block = this.next(block);
    }
    for (let at = list + 1; at < LISTS; at++) {
      const bits = this.#tx.get(HEAP_W.bitmap + (at >> 5)) >>> (at & 31);
      if (bits === 0) {
        at |= 31;
        continue;
      }
      at += 31 - Math.clz32(bits & -bits);
      const first = this.head(at);
      this.#requireFree(first);
      if (this.size(first) < units) throw new Damaged(first);
      return first;
    }
    return -1;
  }

  #requireFree(block: number): void {
    if (!this.isBlock(block) || this.used(block)) throw new Damaged(block);
  }

  /** Makes [block, block + size) a free block at the head of its list. */
  #insert(block: number, size: number): void {
    const list = listOf(size);
    const head = this.head(list);
    if (head !== 0) {
      this.#requireFree(head);
      this.#set(head, BLOCK_W.previous, block);
    }
    this.#set(block, BLOCK_W.size, size << 1);
    this.#set(block, BLOCK_W.next, head);
    this.#set(block, BLOCK_W.previous, 0);
    this.#set(block + size, BLOCK_W.before, size);
    this.#tx.set(HEAP_W.lists + list, block);
    const word = HEAP_W.bitmap + (list >> 5);
    this.#tx.set(word, this.#tx.get(word) | (1 << (list & 31)));
  }

  #remove(block: number, size: number): void {
    const list = listOf(size);
    const next = this.#get(block, BLOCK_W.next);
    const previous = this.#get(block, BLOCK_W.previous);
    if (next !== 0) {
      this.#requireFree(next);
      this.#set(next, BLOCK_W.previous, previous);
    }
    if (previous !== 0) {
      this.#requireFree(previous);
      this.#set(previous, BLOCK_W.next, next);
      return;
    }
    if (this.head(list) !== block) throw new Damaged(block);
    this.#tx.set(HEAP_W.lists + list, next);
    if (next !== 0) return;
    const word = HEAP_W.bitmap + (list >> 5);
    this.#tx.set(word, this.#tx.get(word) & ~(1 << (list & 31)));
  }

  #count(units: number, blocks: number): void {
    this.#tx.set(HEAP_W.usedUnits, (this.#tx.get(HEAP_W.usedUnits) + units) | 0);
    this.#tx.set(HEAP_W.usedBlocks, (this.#tx.get(HEAP_W.usedBlocks) + blocks) | 0);
  }

  #get(block: number, word: number): number {
    return this.#tx.get(block * (UNIT / 4) + word);
  }

  #set(block: number, word: number, value: number): void {
    this.#tx.set(block * (UNIT / 4) + word, value);
  }
}
