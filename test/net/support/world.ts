import { DATA_HEADER_BYTES, decode, putDataHeader } from '../../../src/net/messages.ts';
import { Session } from '../../../src/net/session.ts';
import type { Ring, SessionPorts } from '../../../src/net/session-ports.ts';
import type { Random } from '../../support/random.ts';

const MIX = 0x9e3779b1;

/** Byte `offset` of a direction's stream. */
export const byteAt = (direction: number, offset: number): number =>
  (Math.imul(offset + 1 + direction * 7919, MIX) >>> 13) & 0xff;

/** One direction of a TCP connection: bytes in order, a window, and whoever writes hears when the bytes were taken. */
export class Pipe {
  readonly #queue: { bytes: Buffer; done: (() => void) | null }[] = [];
  ended = false;
  endSeen = false;
  /** All bytes that ever went through. */
  total = 0;

  write(parts: readonly Uint8Array[], done: (() => void) | null): void {
    if (this.ended) throw new Error('written after the end');
    // By reference, as libuv does: whoever changes bytes before `done` is found out.
    parts.forEach((part, i) => {
      this.#queue.push({
        bytes: Buffer.from(part.buffer, part.byteOffset, part.length),
        done: i === parts.length - 1 ? done : null,
      });
    });
  }

  get waiting(): boolean {
    return this.#queue.length > 0 || (this.ended && !this.endSeen);
  }

  /** The next at most `most` bytes, null when there are none. */
  read(most: number): Buffer | null {
    const pieces: Buffer[] = [];
    let left = most;
    while (left > 0 && this.#queue.length > 0) {
      const head = this.#queue[0]!;
      const piece = Buffer.from(head.bytes.subarray(0, left));
      pieces.push(piece);
      left -= piece.length;
      head.bytes = head.bytes.subarray(piece.length);
      if (head.bytes.length > 0) break;
      this.#queue.shift();
      head.done?.();
    }
    const bytes = Buffer.concat(pieces);
    this.total += bytes.length;
    return bytes.length === 0 ? null : bytes;
  }
}

/** One side's end of a channel that is two queues. */
export class Line implements Ring {
  readonly most: number;
  readonly queue: Uint8Array[] = [];
  other!: Line;
  owner: Side;
  closed = false;
  /** The memory cannot be reached from here any more. */
  unplugged = false;
  wanted = false;
  readonly capacity: number;
  readonly binding: string;

  constructor(owner: Side, capacity: number, binding: string) {
    this.owner = owner;
    this.capacity = capacity;
    this.binding = binding;
    this.most = Math.max(1, capacity >> 3);
  }

  get used(): number {
    return this.other.queue.reduce((sum, { length }) => sum + length, 0);
  }

  get outstanding(): number {
    return this.other.queue.length;
  }

  get dead(): boolean {
    return this.closed || this.unplugged || this.other.closed || this.other.unplugged;
  }

  place(offset: number, parts: readonly Uint8Array[], bytes: number): boolean {
    if (this.dead || this.used + bytes + DATA_HEADER_BYTES > this.capacity) {
      this.wanted = true;
      return false;
    }
    const message = Buffer.concat([Buffer.alloc(DATA_HEADER_BYTES), ...parts]);
    putDataHeader(new DataView(message.buffer, message.byteOffset), 0, offset);
    this.other.queue.push(message);
    return true;
  }

  flush(): void {}

  wait(): void {
    this.wanted = true;
  }

  say(message: Uint8Array): boolean {
    if (!this.dead) this.other.queue.push(message);
    return !this.dead;
  }

  drain(): void {
    while (!this.unplugged && !this.closed && this.queue.length > 0)
      this.owner.session.message(decode(this.queue.shift()!));
  }

  close(): void {
    this.closed = true;
  }
}

/** One participant: a session, what its program wrote and read. */
export class Side implements SessionPorts {
  readonly session: Session;
  readonly index: number;
  out!: Pipe;
  /** What the program wrote. */
  written = 0;
  /** What the program got. */
  read = 0;
  ended = false;
  finished = false;
  resetWhy: string | null = null;
  path = 'tcp';
  reason = 'none';
  switches = 0;
  deadlineMs = 0;
  line: Line | null = null;
  full = false;
  wrong = 0;
  /** A write is not done yet. */
  waiting = false;
  /** What it does once nothing is under way. */
  next: (() => void) | null = null;

  constructor(index: number) {
    this.index = index;
    this.session = new Session(this);
  }

  tcp(parts: readonly Uint8Array[], done: (() => void) | null): void {
    this.out.write(parts, done);
  }

  shutdown(done: () => void): void {
    this.out.ended = true;
    done();
  }

  waits(more: boolean): void {
    this.waiting = more;
  }

  deliver(bytes: Uint8Array): boolean {
    for (const byte of bytes) if (byte !== byteAt(1 - this.index, this.read++)) this.wrong++;
    return !this.full;
  }

  end(): void {
    if (this.ended) throw new Error('ended twice');
    this.ended = true;
  }

  reset(why: string): void {
    this.resetWhy ??= why;
  }

  changed(path: 'tcp' | 'shared-memory', reason: string): void {
    if (path !== this.path) this.switches++;
    this.path = path;
    this.reason = reason;
  }

  idle(): void {
    const { next } = this;
    this.next = null;
    next?.();
  }

  deadline(ms: number): void {
    this.deadlineMs = ms;
  }

  /** The program writes the next `bytes` bytes, in one to three parts, and spoils its buffers as soon as it may. */
  write(random: Random, bytes: number): void {
    const parts: Buffer[] = [];
    for (let left = bytes; left > 0; ) {
      const length = parts.length === 2 ? left : 1 + random.below(left);
      const part = Buffer.alloc(length);
      for (let i = 0; i < length; i++) part[i] = byteAt(this.index, this.written + i);
      this.written += length;
      left -= length;
      parts.push(part);
    }
    this.session.write(parts, false, () => {
      for (const part of parts) part.fill(0xee);
    });
  }

  finish(): void {
    this.finished = true;
    this.session.fin(() => {});
  }
}

/** Two participants and what is between them. Side 0 connects. */
export class World {
  readonly random: Random;
  readonly sides: [Side, Side];
  readonly pipes: [Pipe, Pipe];
  readonly tuple = { localAddress: '10.0.0.1', localPort: 40000, remoteAddress: '10.0.0.2', remotePort: 80 };
  channels = 0;
  /** Channels that followed one that was given up for it. */
  resized = 0;

  constructor(random: Random) {
    this.random = random;
    this.sides = [new Side(0), new Side(1)];
    this.pipes = [new Pipe(), new Pipe()];
    this.sides.forEach((side, i) => {
      side.out = this.pipes[i]!;
    });
  }

  /** Side 0 offers a new channel. */
  offer(capacity: number): boolean {
    const [a, b] = this.sides;
    if (a.session.obstacle !== null) return false;
    const binding = `channel ${++this.channels}`;
    const [lineA, lineB] = [new Line(a, capacity, binding), new Line(b, capacity, binding)];
    lineA.other = lineB;
    lineB.other = lineA;
    a.line = lineA;
    b.line = lineB;
    a.session.offer(lineA, this.tuple);
    return true;
  }

  /** Side 0 gives up the channel in use for one of another size, at once. */
  resize(capacity: number): void {
    const [side] = this.sides;
    if (side.session.state !== 'shared') return;
    side.next = () => {
      if (this.offer(capacity)) this.resized++;
    };
    side.session.leave('resized');
  }

  /** A piece of TCP arrives at the other side. */
  tcp(from: 0 | 1, most: number): boolean {
    const pipe = this.pipes[from];
    const to = this.sides[1 - from]!;
    const bytes = pipe.read(most);
    if (bytes !== null) {
      if (to.resetWhy === null) to.session.tcp(bytes);
      return true;
    }
    if (!pipe.ended || pipe.endSeen) return false;
    pipe.endSeen = true;
    if (to.resetWhy === null) to.session.tcpEnded();
    return true;
  }

  /** A message of the channel arrives at `to`. */
  message(to: 0 | 1): boolean {
    const side = this.sides[to];
    const { line } = side;
    if (line === null || line.closed || line.unplugged) return false;
    if (line.queue.length === 0) {
      if (!line.dead) return false;
      // The other side is done with it, and nothing is left to read.
      line.closed = true;
      side.session.ringEnded();
      return true;
    }
    // What waits for TCP is not read on.
    if (side.session.inbound.aheadBytes > 0) return false;
    const message = decode(line.queue.shift()!);
    if (side.session.ring === null && message?.type === 'offer') {
      const { obstacle } = side.session;
      if (obstacle !== null || !side.session.accept(line, message)) line.close();
    } else side.session.message(message);
    if (line.other.wanted && !line.other.closed) {
      line.other.wanted = false;
      line.other.owner.session.room();
    }
    return true;
  }

  unplug(at: 0 | 1): void {
    const { line, session } = this.sides[at];
    if (line === null || line.closed || line.unplugged) return;
    line.unplugged = true;
    session.ringEnded();
  }

  /** Everything arrives, until nothing moves. */
  settle(): void {
    for (let moved = true; moved; ) {
      moved = false;
      for (const i of [0, 1] as const) {
        while (this.tcp(i, 1 << 20)) moved = true;
        while (this.message(i)) moved = true;
      }
    }
  }
}
