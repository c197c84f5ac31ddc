import { IvshmemError } from '../errors/index.ts';
import { loadAcquire, storeFence } from '../memory/order.ts';
import { EVENT_DISABLE, EVENT_ENABLE, eventAt, wantsEvent } from './event-suppression.ts';
import {
  AVAIL_USED_MASK,
  availableBits,
  DESCRIPTOR_BYTES,
  DESCRIPTOR_WORDS,
  type QueuePlace,
  usedBits,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from './layout.ts';
import { checkPlace } from './place.ts';

/** One element of a buffer: device-readable unless `writable`. */
export interface Segment {
  /** In the queue's address space: a region offset, or an I/O virtual address. */
  readonly addr: number;
  readonly len: number;
  readonly writable?: boolean;
}

/** What `takeUsed` fills in. */
export interface UsedBuffer {
  /** The buffer ID that `add` returned. */
  id: number;
  /** Bytes the device says it wrote. Untrusted: compare with the buffer's own length. */
  len: number;
}

export interface DriverQueueOptions extends QueuePlace {
  /** VIRTIO_F_IN_ORDER: buffers come back in the order they went, several on one used descriptor. */
  readonly inOrder: boolean;
}

const WORD_SPAN = 2 ** 32;

/**
 * The driver role of a packed virtqueue (VIRTIO 1.3 §2.8): makes buffers available and takes them back. It never notifies;
 * it answers whether to (`needsNotification`). Positions are running counts; `& (size - 1)` gives the ring index, bit `size`
 * the inverted wrap counter.
 */
export class DriverQueue {
  readonly size: number;
  readonly #words: Int32Array;
  readonly #ring: number;
  readonly #driverEvent: number;
  readonly #deviceEvent: number;
  readonly #inOrder: boolean;
  readonly #mask: number;
  readonly #lap: number;
  /** Descriptors per outstanding buffer, by ID; 0 when the ID is free. */
  readonly #counts: Uint16Array;
  /** Stack of free IDs, used only without IN_ORDER. */
  readonly #freeIds: Uint16Array;
  #freeIdCount: number;
  /** The value of #added when the buffer was added, by ID: tells a published buffer from one only added. */
  readonly #sequences: Uint32Array;
  /** Buffers ever added, published and completed (running, 32 bits); IN_ORDER takes IDs from the first. */
  #added = 0;
  #publishedBuffers = 0;
  #completed = 0;
  #nextAvailable = 0;
  #nextUsed = 0;
  #free: number;
  /** Running position of the first unpublished descriptor, and its withheld last word. */
  #published = 0;
  #notifyFrom = 0;
  #withheld = 0;
  /** Buffers of an in-order batch that takeUsed has yet to hand out one by one. */
  #batch = 0;
  #batchDescriptors = 0;
  #batchLen = 0;
  #broken = '';

  constructor(options: DriverQueueOptions) {
    checkPlace(options);
    const { size } = options;
    this.size = size;
    this.#words = new Int32Array(options.memory, 0, Math.floor(options.memory.byteLength / 4));
    this.#ring = options.ring / 4;
    this.#driverEvent = options.driverEvent / 4;
    this.#deviceEvent = options.deviceEvent / 4;
    this.#inOrder = options.inOrder;
    this.#mask = size - 1;
    this.#lap = 2 * size - 1;
    this.#counts = new Uint16Array(size);
    this.#sequences = new Uint32Array(size);
    this.#freeIds = Uint16Array.from({ length: size }, (_, i) => size - 1 - i);
    this.#freeIdCount = size;
    this.#free = size;
  }

  /** Free descriptors, as of the last `reclaim` or `takeUsed`. */
  get free(): number {
    return this.#free;
  }

  /** Buffers added and not yet back. */
  get outstanding(): number {
    return (this.#added - this.#completed) >>> 0;
  }

  /** Why the queue is broken, or the empty string. */
  get broken(): string {
    return this.#broken;
  }

  /**
   * Adds a one-descriptor device-readable buffer; the hot path. Needs `free` >= 1 (not checked against the device: see
   * `reclaim`). `tag` 0 or 1 goes to bit 15 of the ID. Returns the ID. Visible to the device after `publish`.
   */
  addReadable(addr: number, len: number, tag: number): number {
    if (this.#free === 0) this.#refuseFull(1);
    const id = this.#takeId(1);
    this.#put(addr, len, 0, id | (tag << 15));
    return id;
  }

  /**
   * IN_ORDER: adds `count` one-descriptor device-readable buffers of `len` bytes, `stride` bytes apart. Needs `free` >= `count`.
   * Together they are what `count` calls of addReadable are, in a loop that touches nothing but the ring.
   */
  addReadableBurst(addr: number, len: number, stride: number, count: number): void {
    if (count > this.#free) this.#refuseFull(count);
    const words = this.#words;
    const counts = this.#counts;
    const start = this.#nextAvailable;
    for (let i = 0; i < count; i++) {
      const position = (start + i) & this.#lap;
      const at = this.#ring + (position & this.#mask) * DESCRIPTOR_WORDS;
      const id = (this.#added + i) & this.#mask;
      const each = addr + i * stride;
      counts[id] = 1;
      words[at] = each | 0;
      words[at + 1] = (each / WORD_SPAN) | 0;
      words[at + 2] = len | 0;
      const last = availableBits(position, this.size) | id;
      if (position === this.#published) this.#withheld = last;
      else words[at + 3] = last;
    }
    this.#nextAvailable = (start + count) & this.#lap;
    this.#added = (this.#added + count) | 0;
    this.#free -= count;
  }

  /** Byte offset in the memory of the descriptor that the next buffer will take. */
  get nextDescriptor(): number {
    return (this.#ring + (this.#nextAvailable & this.#mask) * DESCRIPTOR_WORDS) * 4;
  }

  /** Shortens the one-descriptor buffer added last, before it is published. */
  shortenLast(len: number): void {
    const at = this.#ring + ((this.#nextAvailable - 1) & this.#mask) * DESCRIPTOR_WORDS;
    this.#words[at + 2] = len | 0;
  }

  /** Adds a buffer as a chain of descriptors (§2.8.6). Device-readable segments must precede writable ones (§2.8.17). Returns the ID. */
  add(segments: readonly Segment[], tag = 0): number {
    const count = segments.length;
    if (count === 0 || count > this.#free) this.#refuseFull(count);
    const id = this.#takeId(count);
    segments.forEach(({ addr, len, writable }, i) => {
      const flags = (i + 1 < count ? VIRTQ_DESC_F_NEXT : 0) | (writable ? VIRTQ_DESC_F_WRITE : 0);
      // §2.8.6: only the last descriptor's ID counts; writing it in all of them is allowed and keeps this loop plain.
      this.#put(addr, len, flags, id | (tag << 15));
    });
    return id;
  }

  /** Adds a buffer as one indirect descriptor (§2.8.7): `table` at address `addr` must already hold `count` descriptors. */
  addIndirect(addr: number, count: number, tag = 0): number {
    if (this.#free === 0) this.#refuseFull(1);
    const id = this.#takeId(1);
    this.#put(addr, count * DESCRIPTOR_BYTES, VIRTQ_DESC_F_INDIRECT, id | (tag << 15));
    return id;
  }

  /** Makes everything added since the last call available, as one burst: the first descriptor's flags go last (§2.8.21.1). */
  publish(): void {
    if (this.#published === this.#nextAvailable) return;
    // Release: pairs with the acquire in DeviceQueue.take. The full fence orders it before needsNotification's load.
    const first = this.#ring + (this.#published & this.#mask) * DESCRIPTOR_WORDS + 3;
    this.#notifyFrom = this.#published;
    this.#published = this.#nextAvailable;
    this.#publishedBuffers = this.#added;
    storeFence(this.#words, first, this.#withheld);
  }

  /** Whether the device asked to hear of the last burst (§2.8.10). Call after `publish`. */
  needsNotification(): boolean {
    // Pairs with the fence in DeviceQueue.enableNotifications: either we see its request or it sees our descriptors.
    const word = loadAcquire(this.#words, this.#deviceEvent);
    return wantsEvent(word, this.#notifyFrom, this.#published, this.size);
  }

  /** IN_ORDER: takes back what the device has used; returns the number of buffers. */
  reclaim(): number {
    let buffers = 0;
    for (;;) {
      // What takeUsed has not handed out of its batch comes first.
      const batch = this.#batch > 0 ? this.#batch : this.#takeBatch();
      if (batch === 0) return buffers;
      this.#batch = 0;
      this.#free += this.#batchDescriptors;
      this.#completed = (this.#completed + batch) | 0;
      buffers += batch;
    }
  }

  /** Takes back one used buffer; false when there is none. Works with and without IN_ORDER. */
  takeUsed(used: UsedBuffer): boolean {
    if (this.#inOrder) {
      if (this.#batch === 0) this.#batch = this.#takeBatch();
      if (this.#batch === 0) return false;
      used.id = this.#completed & this.#mask;
      // One by one: room for a whole batch would let `add` give out an ID that is still to be returned from here.
      const descriptors = this.#counts[used.id]!;
      this.#batchDescriptors -= descriptors;
      this.#free += descriptors;
      // §2.8.8: only the last buffer of a batch has its length written.
      used.len = --this.#batch === 0 ? this.#batchLen : 0;
      this.#completed = (this.#completed + 1) | 0;
      return true;
    }
    const at = this.#usedWord();
    if (at < 0) return false;
    const id = this.#words[at]! & 0x7fff;
    const count = id < this.size ? this.#counts[id]! : 0;
    if (count === 0 || ((this.#sequences[id]! - this.#publishedBuffers) | 0) >= 0)
      this.#break(`used ID ${id} is not outstanding`);
    used.id = id;
    used.len = this.#words[at - 1]! >>> 0;
    this.#counts[id] = 0;
    this.#freeIds[this.#freeIdCount++] = id;
    this.#free += count;
    this.#nextUsed = (this.#nextUsed + count) & this.#lap;
    this.#completed = (this.#completed + 1) | 0;
    return true;
  }

  /**
   * Asks the device to notify when it uses a buffer, or with `afterDescriptors` only once that many more descriptors are used.
   * True when a used buffer is already there: look again before sleeping, the notification for it may never come.
   */
  enableNotifications(afterDescriptors = 0): boolean {
    const word =
      afterDescriptors > 0
        ? eventAt((this.#nextUsed + afterDescriptors - 1) & this.#lap, this.size)
        : EVENT_ENABLE;
    // Full fence: pairs with the one in DeviceQueue.flushUsed.
    storeFence(this.#words, this.#driverEvent, word);
    return this.#batch > 0 || this.#usedWord() >= 0;
  }

  /** Tells the device not to notify. A notification under way may still come (§2.8.10). */
  disableNotifications(): void {
    this.#words[this.#driverEvent] = EVENT_DISABLE;
  }

  #put(addr: number, len: number, flags: number, id: number): void {
    const position = this.#nextAvailable;
    const at = this.#ring + (position & this.#mask) * DESCRIPTOR_WORDS;
    const words = this.#words;
    words[at] = addr | 0;
    words[at + 1] = (addr / WORD_SPAN) | 0;
    words[at + 2] = len | 0;
    const last = (flags << 16) | availableBits(position, this.size) | id;
    // The first descriptor of a burst is withheld until publish; later ones are reached only through it.
    if (position === this.#published) this.#withheld = last;
    else words[at + 3] = last;
    this.#nextAvailable = (position + 1) & this.#lap;
    this.#free--;
  }

  #takeId(count: number): number {
    const id = this.#inOrder ? this.#added & this.#mask : this.#freeIds[--this.#freeIdCount]!;
    this.#counts[id] = count;
    if (!this.#inOrder) this.#sequences[id] = this.#added;
    this.#added = (this.#added + 1) | 0;
    return id;
  }

  /** Word index of the used descriptor's last word at the next used position, or -1. */
  #usedWord(): number {
    if (this.#broken !== '') this.#break(this.#broken);
    if (this.#free === this.size) return -1;
    const position = this.#nextUsed;
    const at = this.#ring + (position & this.#mask) * DESCRIPTOR_WORDS + 3;
    // Acquire: pairs with the release in DeviceQueue.flushUsed.
    const word = loadAcquire(this.#words, at);
    if ((word & AVAIL_USED_MASK) !== usedBits(position, this.size)) return -1;
    return position === this.#published ? -1 : at;
  }

  /** One used descriptor of an in-order batch: how many buffers it completes, 0 when there is none. */
  #takeBatch(): number {
    const at = this.#usedWord();
    if (at < 0) return 0;
    const id = this.#words[at]! & 0x7fff;
    const oldest = this.#completed;
    const buffers = ((id - oldest) & this.#mask) + 1;
    const live = (this.#publishedBuffers - oldest) >>> 0;
    if (id >= this.size || buffers > live) this.#break(`used ID ${id} is not outstanding`);
    let count = 0;
    for (let i = 0; i < buffers; i++) count += this.#counts[(oldest + i) & this.#mask]!;
    this.#batchDescriptors = count;
    this.#nextUsed = (this.#nextUsed + count) & this.#lap;
    this.#batchLen = this.#words[at - 1]! >>> 0;
    return buffers;
  }

  #refuseFull(needed: number): never {
    throw new IvshmemError('ERR_IVSHMEM_QUEUE_FULL', { needed, free: this.#free });
  }

  #break(why: string): never {
    this.#broken = why;
    throw new IvshmemError('ERR_IVSHMEM_QUEUE_BROKEN', { role: 'driver', why });
  }
}
