const LINE_BYTES = 64;
/** Messages up to this size stay in the near window of the area. */
const SMALL_BYTES = 4096;

/** Whole lines, at least one: an empty piece that took no room would have the same end as the piece before it. */
function lines(length: number): number {
  return length <= LINE_BYTES ? LINE_BYTES : (length + LINE_BYTES - 1) & -LINE_BYTES;
}

/**
 * The bytes of one direction's data area, given out in order and taken back in order. Every piece starts on a line.
 *
 * Small pieces turn back to the start after `window` bytes once there is room for as many as a consumer may hold back (a quarter of
 * the ring, docs/decisions/deferred-used-descriptors.md): with less, an area that is nearly empty would be full until the consumer
 * gives those back. What is reused soon stays in the caches. Large ones use the whole area: with a consumer that lags they then travel through the last-level cache instead of being
 * pulled dirty out of the other core's (docs/performance.md).
 */
export class DataRing {
  readonly bytes: number;
  /** Where the last burst begins. */
  burstOffset = 0;
  /** Small pieces turn back to the start here. */
  readonly window: number;
  /** Pieces for which there must be room at the start: what a consumer holds back, the one it was just given, and the one it looks at. */
  readonly #ahead: number;
  /** Length of the longest piece since the last turn. */
  #longest = 0;
  #head = 0;
  #tail = 0;

  /** `pieces`: the most that can be outstanding, the size of the queue. */
  constructor(bytes: number, pieces: number) {
    this.bytes = bytes & -LINE_BYTES;
    this.window = Math.min(this.bytes, pieces * LINE_BYTES);
    this.#ahead = pieces / 4 + 2;
  }

  /** Where the piece given out last ends: pass it to `free` when that piece comes back. */
  get end(): number {
    return this.#head;
  }

  /** Bytes that could be placed in a row right now. */
  get contiguous(): number {
    if (this.#head === this.#tail) return this.bytes;
    if (this.#head < this.#tail) return this.#tail - this.#head - LINE_BYTES;
    return Math.max(this.bytes - this.#head, this.#tail - LINE_BYTES);
  }

  /** Bytes from the write position to the end of the area or the oldest piece: the first half of a wrapped message. */
  get toEdge(): number {
    return this.#head < this.#tail ? this.#tail - this.#head - LINE_BYTES : this.bytes - this.#head;
  }

  /** Places `length` bytes in a row; the offset, or -1 when there is no room. */
  place(length: number): number {
    const need = lines(length);
    if (this.#head === this.#tail) this.#head = this.#tail = this.#longest = 0;
    if (need > this.#longest) this.#longest = need;
    const head = this.#head;
    const tail = this.#tail;
    if (head < tail) {
      if (head + need >= tail) return -1;
      this.#head = head + need;
      return head;
    }
    if (head + need <= this.bytes && !(head >= this.window && this.#turnsEarly())) {
      this.#head = head + need;
      return head;
    }
    // Strictly less: an end equal to the tail would look empty.
    if (need >= tail) return -1;
    this.#head = need;
    this.#longest = need;
    return 0;
  }

  /** Whether small pieces may go on at the start although the area does not end here. */
  #turnsEarly(): boolean {
    return this.#longest <= SMALL_BYTES && this.#longest * this.#ahead < this.#tail;
  }

  /**
   * Places up to `count` pieces of `length` bytes in a row, `strideOf(length)` apart, the first at `burstOffset`; returns how
   * many found room. A burst ends at the edge of the window or the area; the next one turns back to the start.
   */
  placeBurst(length: number, count: number): number {
    const stride = lines(length);
    if (this.#head === this.#tail) this.#head = this.#tail = this.#longest = 0;
    if (stride > this.#longest) this.#longest = stride;
    const { bytes } = this;
    let head = this.#head;
    let edge = this.#tail - 1;
    if (head >= this.#tail) {
      const early = this.#turnsEarly();
      if (head + stride > bytes ? stride < this.#tail : early && head + stride > this.window) {
        head = 0;
        edge = this.#tail - 1;
        this.#longest = stride;
      } else edge = early ? this.window : bytes;
    }
    const placed = Math.min(count, Math.floor((edge - head) / stride));
    if (placed <= 0) return 0;
    this.burstOffset = head;
    this.#head = head + placed * stride;
    return placed;
  }

  /** Bytes from one piece of a burst to the next. */
  strideOf(length: number): number {
    return lines(length);
  }

  /** Frees everything up to the `end` recorded with a piece. */
  free(end: number): void {
    this.#tail = end;
  }

  /** Takes back what was placed since `end` was `mark`, nothing having been freed in between. */
  rewind(mark: number): void {
    this.#head = mark;
  }

  /** Gives back the unused part of the piece placed last at `offset`. */
  shrink(offset: number, length: number): void {
    this.#head = offset + lines(length);
  }
}
