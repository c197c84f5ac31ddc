/**
 * The heap of a space: the whole user part. Sizes and places are in units of 16 bytes, so that a word holds them; what programs
 * see are byte offsets into `space.buffer`.
 *
 * Page 0 is the header. Then come blocks, one after the other without gaps, each of a header of one unit and its content; the last is
 * a used block of one unit that ends the heap. Neighbours that are free are merged at once. Free blocks are in doubly linked lists
 * by size: four lists for each power of two.
 */
export const UNIT = 16;
export const HEADER_BYTES = 4096;
export const LEAST_BYTES = 8192;
export const MOST_BYTES = 8 * 2 ** 30;
/** A block that is worth being: header and one unit. */
export const LEAST_UNITS = 2;

/** Words of the header. */
export const HEAP_W = {
  /** Units of the whole heap, header page included. */
  units: 0,
  /** What programs agree to begin with: the unit of a block's content, or 0. */
  root: 1,
  usedUnits: 2,
  usedBlocks: 3,
  /** Bit b: list b is not empty. 4 words. */
  bitmap: 8,
  /** First block of each list, 0: none. */
  lists: 16,
  /** Number of stores of a change that is decided but may not be made; then pairs of word and value. */
  journal: 256,
} as const;
export const LISTS = 128;
export const JOURNAL_ENTRIES = 64;

/** Words of a block's header. */
export const BLOCK_W = {
  /** Units, header included, << 1 | used */
  size: 0,
  /** Units of the block before it; 0: it is the first. */
  before: 1,
  /** Free: next and previous of its list. Used: a guard that tells an offset of alloc() from any other number. */
  next: 2,
  previous: 3,
} as const;

export function guardOf(block: number): number {
  return Math.imul(block, 0x9e3779b1) ^ 0x49565348;
}

/** The list that a free block of so many units is in: its power of two, and which quarter of it. */
export function listOf(units: number): number {
  const log = 31 - Math.clz32(units);
  return log < 2 ? units : log * 4 + ((units >>> (log - 2)) & 3) - 4;
}
