interface Piece {
  readonly offset: number;
  readonly bytes: number;
  /** The writer's own buffers; null once the bytes were copied to the store. */
  parts: readonly Uint8Array[] | null;
  /** Nobody changes the parts: they need no copy. */
  readonly owned: boolean;
}

/**
 * What was placed in a ring and the receiver has not taken, so that it can be sent again. Pieces follow each other in the
 * stream; those the program may change are copied to a store of the ring's size, where offset modulo size is their place.
 */
export class Retained {
  readonly #capacity: number;
  #pieces: Piece[] = [];
  #store: Uint8Array | null = null;

  /** `capacity`: bytes that the ring can hold. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get bytes(): number {
    return this.#pieces.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** A piece was placed; with it the receiver has `outstanding` of them. */
  add(
    offset: number,
    parts: readonly Uint8Array[],
    bytes: number,
    owned: boolean,
    outstanding: number,
  ): void {
    const taken = this.#pieces.push({ offset, parts, bytes, owned }) - outstanding;
    if (taken > 0) this.#pieces.splice(0, taken);
  }

  /** Bytes that `own` would copy. */
  foreign(outstanding: number): number {
    let bytes = 0;
    const first = Math.max(0, this.#pieces.length - outstanding);
    for (let i = this.#pieces.length - 1; i >= first; i--) {
      const piece = this.#pieces[i]!;
      if (piece.parts === null || piece.owned) break;
      bytes += piece.bytes;
    }
    return bytes;
  }

  /** From now on the program may change its buffers: what the receiver has not taken by now is copied. */
  own(outstanding: number): void {
    const pieces = this.#pieces;
    const taken = pieces.length - outstanding;
    if (taken > 0) pieces.splice(0, taken);
    for (let i = pieces.length - 1; i >= 0; i--) {
      const piece = pieces[i]!;
      if (piece.parts === null || piece.owned) return;
      let at = piece.offset;
      for (const part of piece.parts) at = this.#keep(part, at);
      piece.parts = null;
    }
  }

  /** Hands over everything, in order; nothing is retained after that. */
  take(each: (offset: number, parts: readonly Uint8Array[], bytes: number) => void): void {
    const pieces = this.#pieces;
    const store = this.#store;
    this.#pieces = [];
    // Given away: whoever gets the parts reads them later.
    this.#store = null;
    for (const { offset, parts, bytes } of pieces)
      each(offset, parts ?? this.#stored(store!, offset, bytes), bytes);
  }

  #keep(part: Uint8Array, offset: number): number {
    this.#store ??= Buffer.allocUnsafeSlow(this.#capacity);
    const at = offset % this.#capacity;
    const first = this.#capacity - at;
    if (part.length <= first) this.#store.set(part, at);
    else {
      this.#store.set(part.subarray(0, first), at);
      this.#store.set(part.subarray(first), 0);
    }
    return offset + part.length;
  }

  #stored(store: Uint8Array, offset: number, bytes: number): Uint8Array[] {
    const at = offset % this.#capacity;
    if (at + bytes <= this.#capacity) return [store.subarray(at, at + bytes)];
    return [store.subarray(at), store.subarray(0, at + bytes - this.#capacity)];
  }
}
