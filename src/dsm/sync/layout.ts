/**
 * What synchronization keeps in the system part of a space (docs/dsm-synchronization.md). All of it is little-endian 32-bit
 * words; zeroed memory is a valid, empty table, so nobody has to format it.
 *
 * | words | content |
 * |---|---|
 * | 0 .. 1023 | lives: four words for each slot, who in that slot has the space open |
 * | 1024 .. 1279 | index: an open-addressed hash table of object numbers + 1; entries are added, never taken away |
 * | 2048 .. 2559 | seats of a spread space: 256 parties of 64 bits; 0 is nobody, and seat 0 is not used |
 * | 8192 .. 16383 | 128 objects of 64 words |
 */
export const LIVES_W = 0;
export const LIFE_WORDS = 4;
/**
 * `life` counts those who had the space open in this slot; `epoch` is the member's; `present` is 0 after it closed the space. `owner` is
 * 0 but for a number beyond the region's slots, a seat: the token of the member whose thread has it, or had it when that member died; with
 * SITTING_DOWN while the thread is not there yet.
 */
export const LIFE_W = { life: 0, epoch: 1, present: 2, owner: 3 } as const;
export const SITTING_DOWN = 1;
export const INDEX_W = 1024;
/** Twice the objects there can be: probing always finds an empty entry. */
export const INDEX_ENTRIES = 256;
export const SEATS_W = 2048;
export const SEATS = 256;
export const OBJECTS_W = 8192;
export const OBJECTS = 128;
export const OBJECT_WORDS = 64;
export const SYNC_BYTES = (OBJECTS_W + OBJECTS * OBJECT_WORDS) * 4;

/** Words of an object. Name, state and waiters lie on lines of their own: who spins on one does not slow down the others. */
export const OBJECT_W = {
  /** 0 free; the token of whoever prepares it; READY. */
  claim: 0,
  /** KIND_* */
  kind: 1,
  /** What it was made with: permits of a semaphore, parties of a barrier. */
  parameter: 2,
  /** 64 bytes of UTF-8, NUL-padded. */
  name: 16,
  /** The word that decides; by kind. */
  state: 32,
  /** Rwlock: token of the writer that is writing. Counter: not 0 while somebody waits. */
  second: 33,
  /** Counter: 64 bits. */
  value: 34,
  /** Permits: a token each, up to the next line. */
  owners: 36,
  /** A bit for each slot that waits. */
  waiters: 48,
  /** A bit for each slot: readers of a rwlock, parties of a barrier. */
  members: 56,
} as const;
export const NAME_BYTES = 64;
export const NAME_WORDS = NAME_BYTES / 4;
/** No token: tokens of members are even. */
export const READY = 1;

/** Kinds of object, by their number in memory. */
export const KINDS = [
  'none',
  'mutex',
  'rwlock',
  'semaphore',
  'condition',
  'barrier',
  'counter',
  'once',
  'heap',
  'permits',
] as const;
export type Kind = Exclude<(typeof KINDS)[number], 'none'>;

/** The lowest bit of a mutex, rwlock or semaphore word: somebody may wait, so that the release has to look. */
export const WAITED = 1;
