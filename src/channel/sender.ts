import { IvshmemError } from '../errors/index.ts';
import { binding } from '../native/binding.ts';
import { DESCRIPTOR_BYTES, type DriverQueue, type Segment } from '../virtqueue/index.ts';
import { DataRing } from './data-ring.ts';
import { type DataArea, Reservation, ReservedBurst } from './message.ts';

const LINE_BYTES = 64;
/** Messages of up to so many bytes are fetched ahead; for longer ones the processor sees the pattern by itself. */
const PREFETCH_STRIDE = 256;

/**
 * The sending half of a channel: places messages in the data area and makes them available through the driver role of
 * one virtqueue. Nothing here waits.
 */
export class Sender {
  readonly area: DataArea;
  readonly #queue: DriverQueue;
  readonly #notify: () => void;
  readonly #data: DataRing;
  /** Region offset of the data area: what `addr` 0 of the area is in a descriptor. */
  readonly #base: number;
  readonly #mask: number;
  /** DataRing.end of each outstanding buffer, by running buffer number. */
  readonly #ends: Uint32Array;
  readonly #reservations: Reservation[];
  #added = 0;
  #freed = 0;
  /** Bytes of all buffers added, modulo 2^32, and what of it `sent` counted when buffers last came back. */
  #bytes = 0;
  #countedBytes = 0;
  readonly #counted = { buffers: 0, bytes: 0 };
  /** Buffers that did not end a message. */
  #parts = 0;
  #last: Reservation | null = null;
  readonly #burst = new ReservedBurst();

  /** `notify` is called when the receiver must hear of messages. */
  constructor(queue: DriverQueue, area: DataArea, base: number, notify: () => void) {
    this.#queue = queue;
    this.#notify = notify;
    this.area = area;
    this.#base = base;
    this.#mask = queue.size - 1;
    this.#data = new DataRing(area.bytes.length, queue.size);
    this.#ends = new Uint32Array(queue.size);
    this.#reservations = Array.from({ length: queue.size }, () => new Reservation(area));
    queue.disableNotifications();
  }

  /** The largest message `reserve` can ever place. */
  get capacity(): number {
    return this.#data.bytes;
  }

  /** Messages the receiver still holds. */
  get outstanding(): number {
    return this.#queue.outstanding;
  }

  /** [messages, bytes] until now, without a cost on the way of a message. */
  sent(): [number, number] {
    const { buffers, bytes } = this.#counted;
    const messages = buffers + ((this.#added - this.#freed) | 0) - this.#parts;
    return [messages, bytes + ((this.#bytes - this.#countedBytes) >>> 0)];
  }

  /** Lends room for `length` bytes, or null when the ring is full. Bytes are not cleared. */
  reserve(length: number): Reservation | null {
    return this.reservePart(length, 0);
  }

  /** reserve for one part of a message; `more` 1: the message continues in the next part. */
  reservePart(length: number, more: number): Reservation | null {
    if (!Number.isInteger(length) || length < 0 || length > this.#data.bytes)
      this.#refuseSize('reserve', length, this.#data.bytes);
    if (this.#queue.free === 0 && !this.reclaim()) return null;
    let offset = this.#data.place(length);
    if (offset < 0) {
      if (!this.reclaim()) return null;
      offset = this.#data.place(length);
      if (offset < 0) return null;
    }
    this.#queue.addReadable(this.#base + offset, length, more);
    this.#bytes = (this.#bytes + length) | 0;
    if (more !== 0) this.#parts++;
    const reservation = this.#reservations[this.#added & this.#mask]!;
    this.#remember();
    reservation.offset = offset;
    reservation.length = length;
    this.#last = reservation;
    return reservation;
  }

  /**
   * Lends room for up to `count` messages of `length` bytes at once; null when there is none. Fetches the lines of the next
   * burst meanwhile: the receiver has them, and writing to them one by one would wait for each.
   */
  reserveBurst(count: number, length: number): ReservedBurst | null {
    if (!Number.isInteger(length) || length < 0 || length > this.#data.bytes)
      this.#refuseSize('reserve', length, this.#data.bytes);
    if (this.#queue.free < count) this.reclaim();
    const wanted = Math.min(count, this.#queue.free);
    if (wanted === 0) return null;
    let placed = this.#data.placeBurst(length, wanted);
    // Large messages fill the area before they run out of descriptors.
    if (placed === 0 && this.reclaim()) placed = this.#data.placeBurst(length, wanted);
    if (placed === 0) return null;
    const burst = this.#burst;
    burst.count = placed;
    burst.length = length;
    burst.stride = this.#data.strideOf(length);
    burst.offset = this.#data.burstOffset;
    this.#queue.addReadableBurst(this.#base + burst.offset, length, burst.stride, placed);
    this.#bytes = (this.#bytes + placed * length) | 0;
    for (let i = 1; i <= placed; i++)
      this.#ends[(this.#added + i - 1) & this.#mask] = burst.offset + i * burst.stride;
    this.#added = (this.#added + placed) | 0;
    this.#last = null;
    const { buffer } = this.area.bytes;
    if (burst.stride <= PREFETCH_STRIDE) {
      const next = burst.offset + placed * burst.stride;
      binding.prefetch(
        buffer,
        this.#base + (next >= this.#data.window ? 0 : next),
        placed * burst.stride,
        true,
      );
      binding.prefetch(buffer, this.#queue.nextDescriptor, placed * DESCRIPTOR_BYTES, true);
    }
    return burst;
  }

  /** Shortens the last reservation, before it is committed. */
  shorten(length: number): void {
    const last = this.#last;
    if (last === null || !Number.isInteger(length) || length < 0 || length > last.length)
      this.#refuseSize('commit', length, last?.length ?? 0);
    this.#queue.shortenLast(length);
    this.#bytes = (this.#bytes - last.length + length) | 0;
    this.#data.shrink(last.offset, length);
    this.#ends[(this.#added - 1) & this.#mask] = this.#data.end;
    last.length = length;
  }

  /** Copies `bytes` into the ring as one message, chained across the end of the area where that is what is free. */
  copyIn(bytes: Uint8Array): boolean {
    const reservation = this.reserve(bytes.length);
    if (reservation !== null) {
      this.area.bytes.set(bytes, reservation.offset);
      return true;
    }
    const head = this.#data.toEdge & -LINE_BYTES;
    if (head < LINE_BYTES || head >= bytes.length || this.#queue.free < 2) return false;
    return this.#copyWrapped(bytes, head);
  }

  /** Whether `reserve(length)` would find room without anything coming back. */
  hasRoom(length: number): boolean {
    return this.#queue.free > 0 && Math.max(length, 1) <= this.#data.contiguous;
  }

  /** Makes everything reserved or copied in since the last call available. */
  publish(): void {
    this.#last = null;
    this.#queue.publish();
    if (this.#queue.needsNotification()) this.#notify();
  }

  /**
   * Before waiting for room: asks for a notification of every used buffer, or of the one that makes it half of those that are out.
   * True when buffers came back meanwhile.
   */
  startWaiting(half = false): boolean {
    const { size, free } = this.#queue;
    this.#queue.enableNotifications(half ? (size - free + 1) >> 1 : 0);
    return this.reclaim();
  }

  stopWaiting(): void {
    this.#queue.disableNotifications();
  }

  #copyWrapped(bytes: Uint8Array, head: number): boolean {
    const mark = this.#data.end;
    const first = this.#data.place(head);
    const second = this.#data.place(bytes.length - head);
    if (first < 0 || second < 0) {
      this.#data.rewind(mark);
      return false;
    }
    this.area.bytes.set(bytes.subarray(0, head), first);
    this.area.bytes.set(bytes.subarray(head), second);
    const segments: Segment[] = [
      { addr: this.#base + first, len: head },
      { addr: this.#base + second, len: bytes.length - head },
    ];
    this.#queue.add(segments);
    this.#bytes = (this.#bytes + bytes.length) | 0;
    this.#remember();
    this.#last = null;
    return true;
  }

  #remember(): void {
    this.#ends[this.#added & this.#mask] = this.#data.end;
    this.#added = (this.#added + 1) | 0;
  }

  /** Takes back what the receiver has returned. False: nothing new. */
  reclaim(): boolean {
    const buffers = this.#queue.reclaim();
    if (buffers === 0) return false;
    this.#freed = (this.#freed + buffers) | 0;
    // At most one ring of bytes since the last time: the difference fits 32 bits.
    this.#counted.buffers += buffers;
    this.#counted.bytes += (this.#bytes - this.#countedBytes) >>> 0;
    this.#countedBytes = this.#bytes;
    this.#data.free(this.#ends[(this.#freed - 1) & this.#mask]!);
    return true;
  }

  #refuseSize(operation: string, bytes: number, most: number): never {
    throw new IvshmemError('ERR_IVSHMEM_MESSAGE_SIZE', { operation, bytes, most });
  }
}
