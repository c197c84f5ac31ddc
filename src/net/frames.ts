/** Most bytes of data in one frame, far above what a program writes at once. */
export const MAX_FRAME_DATA = 2 ** 31 - 1;
export const FRAME_BYTES = 16;
export const PROOF_BYTES = 16;

const DATA = 1;
const RESUME = 2;
const FIN = 3;
const PROOF = 4;

/** What a framed TCP direction carries. All integers are little-endian: type (8 bits), 8 zero bits, epoch (16), length (32), offset (64). */
export const frame = {
  /** `length` bytes of the stream from `offset` on follow. */
  data: (offset: number, length: number): Uint8Array => header(DATA, 0, length, offset),
  /** "I have everything before `received`; the shared memory of attachment `epoch` is not used any more." */
  resume: (epoch: number, received: number): Uint8Array => header(RESUME, epoch, 0, received),
  /** The stream ends at `offset`. */
  fin: (offset: number): Uint8Array => header(FIN, 0, 0, offset),
  /** Ties attachment `epoch` to this connection. */
  proof: (epoch: number, proof: Uint8Array): Uint8Array => {
    const bytes = new Uint8Array(FRAME_BYTES + PROOF_BYTES);
    bytes.set(header(PROOF, epoch, PROOF_BYTES, 0));
    bytes.set(proof, FRAME_BYTES);
    return bytes;
  },
};

export function putOffset(view: DataView, at: number, offset: number): void {
  view.setUint32(at, offset >>> 0, true);
  view.setUint32(at + 4, Math.floor(offset / 2 ** 32), true);
}

/** An offset of 64 bits, or -1 for one that no stream reaches (2^53 bytes are 285 years at 1 MB/s). */
export function getOffset(view: DataView, at: number): number {
  const high = view.getUint32(at + 4, true);
  return high >= 2 ** 21 ? -1 : high * 2 ** 32 + view.getUint32(at, true);
}

function header(type: number, epoch: number, length: number, offset: number): Uint8Array {
  const bytes = new Uint8Array(FRAME_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, type);
  view.setUint16(2, epoch, true);
  view.setUint32(4, length, true);
  putOffset(view, 8, offset);
  return bytes;
}

/** Who acts on frames. */
export interface FrameSink {
  /** A piece of a DATA frame, as it came in. */
  data(offset: number, bytes: Uint8Array): void;
  resume(epoch: number, received: number): void;
  fin(offset: number): void;
  proof(epoch: number, proof: Uint8Array): void;
}

/** Takes a framed direction apart, however it is cut. Holds at most one header and one proof. */
export class FrameReader {
  readonly #head = new Uint8Array(FRAME_BYTES + PROOF_BYTES);
  readonly #view = new DataView(this.#head.buffer);
  #have = 0;
  /** Of the DATA frame under way. */
  #left = 0;
  #offset = 0;
  #fault: string | null = null;

  /** Null, or what no participant would send; nothing is read after that. */
  read(bytes: Uint8Array, sink: FrameSink): string | null {
    let at = 0;
    while (at < bytes.length && this.#fault === null) {
      if (this.#left > 0) {
        const piece = bytes.subarray(at, at + this.#left);
        const offset = this.#offset;
        at += piece.length;
        this.#left -= piece.length;
        this.#offset += piece.length;
        sink.data(offset, piece);
        continue;
      }
      const wanted = this.#have >= FRAME_BYTES ? FRAME_BYTES + PROOF_BYTES : FRAME_BYTES;
      const piece = bytes.subarray(at, at + wanted - this.#have);
      this.#head.set(piece, this.#have);
      this.#have += piece.length;
      at += piece.length;
      if (this.#have === wanted) this.#fault = this.#complete(sink);
    }
    return this.#fault;
  }

  #complete(sink: FrameSink): string | null {
    const type = this.#view.getUint8(0);
    const epoch = this.#view.getUint16(2, true);
    const length = this.#view.getUint32(4, true);
    const offset = getOffset(this.#view, 8);
    if (this.#view.getUint8(1) !== 0 || offset < 0) return 'a frame has a header of no known kind';
    if (type === PROOF && length === PROOF_BYTES) {
      if (this.#have === FRAME_BYTES) return null;
      this.#have = 0;
      sink.proof(epoch, this.#head.slice(FRAME_BYTES));
      return null;
    }
    this.#have = 0;
    if (type === DATA && length > 0 && length <= MAX_FRAME_DATA && offset + length <= 2 ** 53) {
      this.#left = length;
      this.#offset = offset;
    } else if (type === RESUME && length === 0) sink.resume(epoch, offset);
    else if (type === FIN && length === 0) sink.fin(offset);
    else return `a frame of type ${type} has ${length} bytes`;
    return null;
  }
}
