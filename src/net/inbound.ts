import { FrameReader, type FrameSink, PROOF_BYTES } from './frames.ts';
import { sameProof } from './proof.ts';

/** What comes out of a direction. */
export interface InboundSink {
  /** The next bytes of the stream. False: no more for now, please; what comes nevertheless is taken. */
  deliver(bytes: Uint8Array): boolean;
  /** The stream is complete. Once. */
  end(): void;
  /** The proof was there: from here on the direction is framed. */
  proven(): void;
  /** Other bytes stood where it was announced; they were delivered. */
  forged(): void;
  resume(epoch: number, received: number): void;
  proof(epoch: number, proof: Uint8Array): void;
}

interface Piece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/**
 * One direction as its receiver sees it: puts together what comes over TCP and over shared memory, strictly by offset, and
 * drops what it has. TCP delivers in order, so a gap there is a fault; pieces in shared memory may be ahead of TCP.
 */
export class Inbound {
  /** Bytes of the stream delivered until now. */
  received = 0;
  mode: 'raw' | 'armed' | 'scanning' | 'framed' = 'raw';
  /** Where the stream ends, or -1. */
  fin = -1;
  ended = false;
  readonly #sink: InboundSink;
  readonly #reader = new FrameReader();
  readonly #frames: FrameSink;
  #proofAt = 0;
  #proof: Uint8Array = new Uint8Array(0);
  /** Bytes that may be the beginning of the proof. */
  #found: Uint8Array = new Uint8Array(0);
  #ahead: Piece[] = [];
  #aheadBytes = 0;
  /** Said by the sink at its last delivery. */
  #full = false;
  #fault: string | null = null;

  constructor(sink: InboundSink) {
    this.#sink = sink;
    this.#frames = {
      data: (offset, bytes) => this.#data(offset, bytes),
      fin: (offset) => this.#finAt(offset),
      resume: (epoch, received) => sink.resume(epoch, received),
      proof: (epoch, proof) => sink.proof(epoch, proof),
    };
  }

  /** Bytes from shared memory that wait for bytes from TCP. */
  get aheadBytes(): number {
    return this.#aheadBytes;
  }

  get fault(): string | null {
    return this.#fault;
  }

  /** Expects a proof at `offset`, instead of one it may expect. False when that is past, or the direction is not raw. */
  arm(offset: number, proof: Uint8Array): boolean {
    const free = this.mode === 'raw' || (this.mode === 'armed' && this.#found.length === 0);
    if (!free || this.ended || offset < this.received) return false;
    this.mode = 'armed';
    this.#proofAt = offset;
    this.#proof = proof;
    return true;
  }

  /** Expects a proof wherever it comes: nobody guesses 16 bytes. Up to 15 that look like its beginning wait for the next ones. */
  scan(proof: Uint8Array): void {
    this.mode = 'scanning';
    this.#proof = proof;
  }

  /** Bytes from TCP. False: no more for now. */
  tcp(bytes: Uint8Array): boolean {
    this.#full = false;
    let rest = bytes;
    if (this.mode === 'armed') rest = this.#armed(bytes);
    else if (this.mode === 'scanning') rest = this.#scanned(bytes);
    if (rest.length > 0) {
      if (this.mode === 'framed') this.#fail(this.#reader.read(rest, this.#frames));
      else this.#take(rest);
    }
    return !this.#full;
  }

  /** TCP ended, and with it this stream, which is not framed. */
  tcpEnded(): void {
    this.#giveUpProof();
    this.#finAt(this.received);
  }

  /** A piece from shared memory. False: no more for now (`aheadBytes` tells whether TCP has to come first). */
  ring(offset: number, bytes: Uint8Array, mostAhead: number): boolean {
    this.#full = false;
    if (offset <= this.received) this.#data(offset, bytes);
    else if (this.#aheadBytes + bytes.length > mostAhead)
      this.#fail('more was sent ahead than fits the channel');
    else {
      this.#ahead.push({ offset, bytes });
      this.#aheadBytes += bytes.length;
    }
    return !this.#full;
  }

  /** The peer is gone without a word, and everything it sent is here: the stream ends as TCP's would. False when bytes are missing. */
  endHere(): boolean {
    if (this.fin >= 0 || this.#ahead.length > 0) return this.ended;
    this.#finAt(this.received);
    return true;
  }

  /** Lets through what is before the proof; returns what is behind it. */
  #armed(bytes: Uint8Array): Uint8Array {
    const before = Math.min(bytes.length, this.#proofAt - this.received);
    // While the proof is collected `received` stands still at its offset.
    if (this.#found.length === 0 && before > 0) this.#take(bytes.subarray(0, before));
    const rest = bytes.subarray(before);
    if (this.received < this.#proofAt || this.mode !== 'armed') return rest;
    const wanted = PROOF_BYTES - this.#found.length;
    this.#found = Buffer.concat([this.#found, rest.subarray(0, wanted)]);
    // The first byte that is wrong decides: a program may wait for those that stand here.
    const right = sameProof(this.#found, this.#proof.subarray(0, this.#found.length));
    if (!right) {
      this.#giveUpProof();
      this.#sink.forged();
    } else if (this.#found.length === PROOF_BYTES) {
      this.#found = new Uint8Array(0);
      this.mode = 'framed';
      this.#sink.proven();
    }
    return rest.subarray(Math.min(wanted, rest.length));
  }

  /** Lets through what is not the proof; returns what is behind it. */
  #scanned(bytes: Uint8Array): Uint8Array {
    const all =
      this.#found.length === 0
        ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
        : Buffer.concat([this.#found, bytes]);
    const at = all.indexOf(this.#proof);
    let end = at;
    if (at < 0)
      for (end = Math.max(0, all.length - PROOF_BYTES + 1); end < all.length; end++) {
        if (all.subarray(end).equals(this.#proof.subarray(0, all.length - end))) break;
      }
    this.#found = at < 0 ? Buffer.from(all.subarray(end)) : new Uint8Array(0);
    if (end > 0) this.#take(all.subarray(0, end));
    if (at < 0) return all.subarray(all.length);
    this.mode = 'framed';
    this.#sink.proven();
    return all.subarray(at + PROOF_BYTES);
  }

  #giveUpProof(): void {
    const found = this.#found;
    this.mode = 'raw';
    this.#found = new Uint8Array(0);
    if (found.length > 0) this.#take(found);
  }

  #data(offset: number, bytes: Uint8Array): void {
    if (offset > this.received) {
      this.#fail('bytes of the stream are missing');
      return;
    }
    if (this.fin >= 0 && offset + bytes.length > this.fin) {
      this.#fail('there are bytes behind the end');
      return;
    }
    if (offset + bytes.length > this.received) this.#take(bytes.subarray(this.received - offset));
    this.#takeAhead();
    this.#endIfComplete();
  }

  #takeAhead(): void {
    let head = this.#ahead[0];
    while (head !== undefined && head.offset <= this.received && this.#fault === null) {
      this.#ahead.shift();
      this.#aheadBytes -= head.bytes.length;
      const end = head.offset + head.bytes.length;
      if (this.fin >= 0 && end > this.fin) {
        this.#fail('there are bytes behind the end');
        return;
      }
      if (end > this.received) this.#take(head.bytes.subarray(this.received - head.offset));
      head = this.#ahead[0];
    }
  }

  #take(bytes: Uint8Array): void {
    this.received += bytes.length;
    if (!this.#sink.deliver(bytes)) this.#full = true;
  }

  #finAt(offset: number): void {
    if (this.fin >= 0 || offset < this.received) {
      this.#fail('the end of the stream is not where it was');
      return;
    }
    this.fin = offset;
    this.#endIfComplete();
  }

  #endIfComplete(): void {
    if (this.ended || this.fin < 0 || this.received !== this.fin) return;
    this.ended = true;
    this.#sink.end();
  }

  #fail(why: string | null): void {
    this.#fault ??= why;
  }
}
