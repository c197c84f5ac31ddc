import { frame } from './frames.ts';
import { Retained } from './retained.ts';

/** Most bytes given to TCP at once. */
const PIECE_BYTES = 256 << 10;
/** A piece from this size on is shown to the receiver at once: it takes this one while the next is written. */
const SHOW_BYTES = 4 << 10;
/** A write that has more than this part of a ring in it is not done yet: that much is copied, when it is. */
const COPIED_PART = 1 / 4;
const NOTHING = new Uint8Array(0);

/** Where a direction's bytes go. */
export interface OutboundPorts {
  /** Writes to TCP, all of it; `done` when the kernel has it, or will not. The bytes stay as they are until then. */
  tcp(parts: readonly Uint8Array[], done: Done | null): void;
  /** Ends the TCP direction itself. */
  shutdown(done: () => void): void;
  /** Of a write that could not be done at once, whenever some of it went: whether there is more. */
  waits(more: boolean): void;
}

/** A write is over; `error`: it came to nothing. */
export type Done = (error?: Error | null) => void;

/** Where bytes go instead, while there is a channel. */
export interface RingOut {
  /** Bytes that can be in it. */
  readonly capacity: number;
  /** Most bytes `place` takes at once. */
  readonly most: number;
  /** Messages that the receiver has not taken yet, as far as is known. */
  readonly outstanding: number;
  /** Copies the bytes in as one message; false when there is no room now: `Outbound.room` is called when there may be. */
  place(offset: number, parts: readonly Uint8Array[], bytes: number): boolean;
  /** What was placed shall be seen. */
  flush(): void;
  /** `Outbound.room` is called when the receiver has taken about half of what it has not. */
  wait(): void;
}

interface Write {
  readonly parts: readonly Uint8Array[];
  readonly bytes: number;
  /** The parts belong to us: nobody changes them after `done`. */
  readonly owned: boolean;
  readonly done: Done;
  /** Bytes placed, and where the next one is. */
  placed: number;
  part: number;
  at: number;
}

/**
 * One direction as its sender sees it. What goes to shared memory is kept until the receiver has said that it has it, so that
 * it can be sent again over TCP; what goes to TCP is the kernel's.
 */
export class Outbound {
  /** Bytes of the stream sent, on whichever path. */
  sent = 0;
  mode: 'raw' | 'stalled' | 'framed' = 'raw';
  /** `held`: shared memory is lost, and the receiver has not said what it has. */
  path: 'tcp' | 'ring' | 'held' = 'tcp';
  /** FIN was sent, or the TCP direction was ended. */
  finished = false;
  readonly #ports: OutboundPorts;
  /** A piece of the write under way is not in the kernel yet. */
  #inKernel = false;
  #ring: RingOut | null = null;
  #kept: Retained | null = null;
  #write: Write | null = null;
  /** It was said that this write waits. */
  #waits = false;
  #fin: (() => void) | null = null;
  #taken: (() => void) | null = null;

  constructor(ports: OutboundPorts) {
    this.#ports = ports;
  }

  /** Bytes kept for sending again. */
  get keptBytes(): number {
    return this.#kept?.bytes ?? 0;
  }

  /** Bytes of the stream that the program wrote, as far as they were given to `write`. */
  get written(): number {
    return this.sent + (this.#write === null ? 0 : this.#write.bytes - this.#write.placed);
  }

  /** A program waits for `done`. */
  get busy(): boolean {
    return this.#write !== null || this.#fin !== null;
  }

  /** The next bytes; not before the last ones are done. `done` is called when the parts may change. */
  write(parts: readonly Uint8Array[], owned: boolean, done: Done): void {
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    if (bytes === 0) {
      done();
      return;
    }
    this.#write = { parts, bytes, owned, done, placed: 0, part: 0, at: 0 };
    this.#pump();
    if (this.#write !== null) this.#tellWaits(true);
  }

  /** TCP failed, or the connection is over (null): the write under way, if there is one, comes to nothing. */
  fail(error: Error | null): void {
    const write = this.#write;
    if (write === null) return;
    this.#write = null;
    this.#tellWaits(false);
    write.done(error);
  }

  /** The stream ends here. `done` when the other side will hear of it. */
  fin(done: () => void): void {
    this.#fin = done;
    this.#pump();
  }

  /** Calls back once all that was sent is the kernel's, or the receiver has taken it. After the end of the stream. */
  whenTaken(taken: () => void): void {
    this.#taken = taken;
    this.#pump();
  }

  /** Sends nothing until `unstall` or `prove`; returns the offset of the next byte. */
  stall(): number {
    this.mode = 'stalled';
    return this.sent;
  }

  unstall(): void {
    if (this.mode !== 'stalled') return;
    this.mode = 'raw';
    this.#pump();
  }

  /** Writes the proof where the direction stalls; it is framed from there on. */
  prove(proof: Uint8Array): void {
    this.#ports.tcp([proof], null);
    this.mode = 'framed';
    this.#pump();
  }

  /** A frame that is not data, at once. */
  control(bytes: Uint8Array): void {
    this.#ports.tcp([bytes], null);
  }

  attach(ring: RingOut): void {
    this.#ring = ring;
    this.#kept = new Retained(ring.capacity);
    this.path = 'ring';
    this.#pump();
  }

  /** There may be room in the ring again. */
  room(): void {
    const { sent } = this;
    this.#pump();
    if (this.sent !== sent && this.#write !== null) this.#tellWaits(true);
  }

  /** Shared memory is not used any more; nothing is sent before `resumed`. */
  lost(): void {
    this.#ring = null;
    this.path = 'held';
  }

  /** What the receiver does not have goes over TCP, and all that follows. False when it says what cannot be. */
  resumed(received: number): boolean {
    if (received > this.sent) return false;
    this.#kept?.take((offset, parts, bytes) => {
      if (offset + bytes > received) this.#ports.tcp([frame.data(offset, bytes), ...parts], null);
    });
    this.#kept = null;
    this.#ring = null;
    this.path = 'tcp';
    this.#pump();
    return true;
  }

  #pump(): void {
    const write = this.#write;
    if (this.mode === 'stalled') return;
    if (write !== null) {
      if (this.path === 'held') return;
      if (this.path === 'ring') this.#toRing(write, this.#ring!);
      else this.#toTcp(write);
      return;
    }
    const fin = this.#fin;
    if (fin === null) {
      this.#tellTaken();
      return;
    }
    this.#fin = null;
    this.finished = true;
    // It says its offset, so it may overtake what is on the other path.
    if (this.mode === 'framed') this.#ports.tcp([frame.fin(this.sent)], fin);
    else this.#ports.shutdown(fin);
  }

  #tellTaken(): void {
    const taken = this.#taken;
    if (taken === null || this.path === 'held') return;
    if (this.path === 'ring' && this.#ring!.outstanding > 0) {
      this.#ring!.wait();
      return;
    }
    this.#taken = null;
    taken();
  }

  #toTcp(write: Write): void {
    const left = write.bytes - write.placed;
    if (this.mode === 'raw') {
      this.#write = null;
      this.#tellWaits(false);
      this.sent += left;
      this.#ports.tcp(cut(write, left), write.done);
      return;
    }
    // A piece at a time, so that neither a change of path nor a word to the peer waits for a large write.
    if (this.#inKernel) return;
    const bytes = Math.min(left, PIECE_BYTES);
    // All of it may be on its way, from the program's own buffers: then it is done when those are the kernel's.
    const parts = left === 0 ? [NOTHING] : [frame.data(this.sent, bytes), ...cut(write, bytes)];
    this.sent += bytes;
    write.placed += bytes;
    this.#inKernel = true;
    this.#ports.tcp(parts, (error) => {
      this.#inKernel = false;
      if (this.#write !== write) return;
      if (error) this.fail(error);
      else if (write.placed < write.bytes) {
        this.#tellWaits(true);
        this.#pump();
      } else this.#finish(write);
    });
  }

  #finish(write: Write): void {
    if (!write.owned) this.#kept?.own(this.#ring?.outstanding ?? Number.POSITIVE_INFINITY);
    this.#write = null;
    this.#tellWaits(false);
    write.done();
    if (this.#fin !== null) this.#pump();
  }

  #tellWaits(more: boolean): void {
    if (!more && !this.#waits) return;
    this.#waits = more;
    this.#ports.waits(more);
  }

  #toRing(write: Write, ring: RingOut): void {
    let unseen = false;
    while (write.placed < write.bytes) {
      const bytes = Math.min(ring.most, write.bytes - write.placed);
      const { part, at } = write;
      const parts = cut(write, bytes);
      if (!ring.place(this.sent, parts, bytes)) {
        write.part = part;
        write.at = at;
        break;
      }
      this.#kept!.add(this.sent, parts, bytes, write.owned, ring.outstanding);
      this.sent += bytes;
      write.placed += bytes;
      unseen = bytes < SHOW_BYTES;
      if (!unseen) ring.flush();
      // flush can end the channel, and with it this path.
      if (this.#ring !== ring) break;
    }
    if (unseen) ring.flush();
    if (write.placed < write.bytes || this.#write !== write) return;
    if (this.#inKernel) return;
    const { outstanding, capacity } = ring;
    if (this.#ring === ring && !write.owned && this.#kept!.foreign(outstanding) > capacity * COPIED_PART)
      ring.wait();
    else this.#finish(write);
  }
}

/** The next `bytes` bytes of a write, which moves on. */
function cut(write: Write, bytes: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let left = bytes;
  while (left > 0) {
    const part = write.parts[write.part]!;
    const piece = write.at === 0 && part.length <= left ? part : part.subarray(write.at, write.at + left);
    if (piece.length > 0) parts.push(piece);
    left -= piece.length;
    write.at += piece.length;
    if (write.at === part.length) {
      write.part++;
      write.at = 0;
    }
  }
  return parts;
}
