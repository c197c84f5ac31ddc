/**
 * Ordered access to ring words.
 *
 * x86-64 is TSO: a load is never reordered with a later load, nor a store with a later store, and V8 keeps typed-array
 * accesses in program order (each is an effect on one chain). So a plain load is an acquire and a plain store is a
 * release there, which saves 7 ns a word. Elsewhere every ordered access is an Atomics operation, which is sequentially
 * consistent on any ArrayBuffer.
 */
const TSO = process.arch === 'x64';

/** Acquire load. The caller names the release it pairs with. */
export function loadAcquire(words: Int32Array, index: number): number {
  return TSO ? words[index]! : Atomics.load(words, index);
}

/** Release store. The caller names the acquire it pairs with. */
export function storeRelease(words: Int32Array, index: number, value: number): void {
  if (TSO) words[index] = value;
  else Atomics.store(words, index, value);
}

/** A word nobody else sees: a locked instruction on it is the cheapest full fence JavaScript has. */
const FENCE = new Int32Array(32);

/**
 * Release store followed by a full fence: later loads see memory as of after the store. On x86 the store is a plain one and
 * the fence a locked store to a private word: as an XCHG the store itself would wait for every earlier store, so that the lines
 * of payload and descriptor would be fetched one after the other instead of side by side (100 ns a message).
 */
export function storeFence(words: Int32Array, index: number, value: number): void {
  if (TSO) {
    words[index] = value;
    Atomics.store(FENCE, 16, 0);
  } else Atomics.store(words, index, value);
}
