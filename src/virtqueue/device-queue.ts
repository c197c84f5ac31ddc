import { IvshmemError } from '../errors/index.ts';
import { loadAcquire, storeFence } from '../memory/order.ts';
import type { DescriptorChain } from './chain.ts';
import { EVENT_DISABLE, EVENT_ENABLE, eventAt, wantsEvent } from './event-suppression.ts';
import {
  type AddressBounds,
  AVAIL_USED_MASK,
  availableBits,
  DESCRIPTOR_BYTES,
  DESCRIPTOR_WORDS,
  type QueuePlace,
  RING_EVENT_FLAGS_DISABLE,
  usedBits,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from './layout.ts';
import { checkPlace } from './place.ts';

export interface DeviceQueueOptions extends QueuePlace {
  /** Every element must lie in here; addresses equal byte offsets into `memory`. */
  readonly bounds: AddressBounds;
  /** VIRTIO_F_IN_ORDER: one used descriptor may stand for several buffers. Otherwise each buffer gets its own. */
  readonly inOrder: boolean;
}

const WORD_SPAN = 2 ** 32;
const OTHER_FLAGS = (VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT) << 16;
/** Bit 15 of the buffer ID. */
const TAG = 0x8000;
const TOO_MANY = 'more descriptors are available than the ring has';

/** Results of `takeReadable`. */
export const TAKEN_NONE = 0;
export const TAKEN = 1;
export const TAKEN_OTHER = 2;

/**
 * The device role of a packed virtqueue (VIRTIO 1.3 §2.8): takes available buffers and gives them back used, in order.
 * Every descriptor is read once, checked, and only the copy is used; a violation breaks the queue for good.
 */
export class DeviceQueue {
  readonly size: number;
  /** What `takeReadable` took: private copies, already checked. */
  takenAddr = 0;
  takenLen = 0;
  takenId = 0;
  readonly #words: Int32Array;
  readonly #ring: number;
  readonly #driverEvent: number;
  readonly #deviceEvent: number;
  readonly #inOrder: boolean;
  readonly #start: number;
  readonly #end: number;
  readonly #mask: number;
  readonly #lap: number;
  #nextAvailable = 0;
  #nextUsed = 0;
  /** Used but unwritten: descriptors, and the ID and length for the last buffer of the batch. */
  #unflushed = 0;
  #unflushedId = 0;
  #unflushedLen = 0;
  #notifyFrom = 0;
  #broken = '';

  constructor(options: DeviceQueueOptions) {
    checkPlace(options);
    this.size = options.size;
    this.#words = new Int32Array(options.memory, 0, Math.floor(options.memory.byteLength / 4));
    this.#ring = options.ring / 4;
    this.#driverEvent = options.driverEvent / 4;
    this.#deviceEvent = options.deviceEvent / 4;
    this.#inOrder = options.inOrder;
    this.#start = options.bounds.start;
    this.#end = Math.min(options.bounds.end, options.memory.byteLength);
    this.#mask = options.size - 1;
    this.#lap = 2 * options.size - 1;
  }

  /** Why the queue is broken, or the empty string. */
  get broken(): string {
    return this.#broken;
  }

  /** Descriptors given back by `addUsed` and not yet shown to the driver. */
  get unflushed(): number {
    return this.#unflushed;
  }

  /** Whether a buffer can be taken; never on a broken queue. */
  hasAvailable(): boolean {
    return this.#broken === '' && this.#isAvailable(this.#nextAvailable);
  }

  /**
   * The hot path of `take`: the next buffer if it is one device-readable descriptor, with `takenAddr`, `takenLen` and
   * `takenId` (tag included) set. TAKEN_NONE: nothing is available. TAKEN_OTHER: ask `take`.
   */
  takeReadable(): number {
    if (this.#broken !== '') this.#break(this.#broken);
    const position = this.#nextAvailable;
    const words = this.#words;
    const at = this.#ring + (position & this.#mask) * DESCRIPTOR_WORDS;
    // Acquire: pairs with the release in DriverQueue.publish. It also copies ID and flags, in the same load.
    const last = loadAcquire(words, at + 3);
    if ((last & AVAIL_USED_MASK) !== availableBits(position, this.size)) return TAKEN_NONE;
    if ((last & OTHER_FLAGS) !== 0) return TAKEN_OTHER;
    if (((position - this.#nextUsed) & this.#lap) >= this.size) this.#break(TOO_MANY);
    const addr = (words[at + 1]! >>> 0) * WORD_SPAN + (words[at]! >>> 0);
    const len = words[at + 2]! >>> 0;
    if (addr < this.#start || addr + len > this.#end) this.#break(`a descriptor spans ${addr}+${len}`);
    this.takenAddr = addr;
    this.takenLen = len;
    this.takenId = last & 0xffff;
    this.#nextAvailable = (position + 1) & this.#lap;
    return TAKEN;
  }

  /**
   * `takeReadable` for up to `max` buffers in a row: offsets from the start of the bounds, and lengths, go to the two arrays;
   * `takenId` is the last one's. Stops before a buffer that is anything but one untagged readable descriptor.
   */
  takeReadableBurst(offsets: Int32Array, lengths: Int32Array, max: number): number {
    if (this.#broken !== '') this.#break(this.#broken);
    const words = this.#words;
    const start = this.#start;
    const end = this.#end;
    const room = this.size - ((this.#nextAvailable - this.#nextUsed) & this.#lap);
    let position = this.#nextAvailable;
    let count = 0;
    for (; count < max; count++) {
      const at = this.#ring + (position & this.#mask) * DESCRIPTOR_WORDS;
      // Acquire: pairs with the release in DriverQueue.publish.
      const last = loadAcquire(words, at + 3);
      if ((last & AVAIL_USED_MASK) !== availableBits(position, this.size)) break;
      if ((last & (OTHER_FLAGS | TAG)) !== 0) break;
      if (count === room) this.#break(TOO_MANY);
      const addr = (words[at + 1]! >>> 0) * WORD_SPAN + (words[at]! >>> 0);
      const len = words[at + 2]! >>> 0;
      if (addr < start || addr + len > end) this.#break(`a descriptor spans ${addr}+${len}`);
      offsets[count] = addr - start;
      lengths[count] = len;
      this.takenId = last & 0x7fff;
      position = (position + 1) & this.#lap;
    }
    this.#nextAvailable = position;
    return count;
  }

  /** Byte offset in the memory of the descriptor that is looked at next. */
  get nextDescriptor(): number {
    return (this.#ring + (this.#nextAvailable & this.#mask) * DESCRIPTOR_WORDS) * 4;
  }

  /** Takes the next available buffer into `chain`; false when there is none. Throws ERR_IVSHMEM_QUEUE_BROKEN. */
  take(chain: DescriptorChain): boolean {
    if (this.#broken !== '') this.#break(this.#broken);
    const position = this.#nextAvailable;
    const words = this.#words;
    const at = this.#ring + (position & this.#mask) * DESCRIPTOR_WORDS;
    // Acquire: pairs with the release in DriverQueue.publish. It also copies ID and flags, in the same load.
    const last = loadAcquire(words, at + 3);
    if ((last & AVAIL_USED_MASK) !== availableBits(position, this.size)) return false;
    // A driver that reuses descriptors it has not got back would have us hold more than the ring does.
    if (((position - this.#nextUsed) & this.#lap) >= this.size) this.#break(TOO_MANY);
    const addr = (words[at + 1]! >>> 0) * WORD_SPAN + (words[at]! >>> 0);
    const len = words[at + 2]! >>> 0;
    const flags = (last >>> 16) & (VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT);
    if (flags !== 0) return this.#takeSlow(chain, addr, len, flags, last);
    if (addr < this.#start || addr + len > this.#end) this.#break(`a descriptor spans ${addr}+${len}`);
    chain.id = last & 0x7fff;
    chain.tag = (last >>> 15) & 1;
    chain.count = 1;
    chain.descriptors = 1;
    chain.addr = chain.addrs[0] = addr;
    chain.len = chain.lens[0] = len;
    chain.writable[0] = 0;
    this.#nextAvailable = (position + 1) & this.#lap;
    return true;
  }

  /**
   * Gives the oldest taken buffer back; `written` is the number of bytes written to it. Buffers go back in the order they
   * were taken. With IN_ORDER the driver sees it after `flushUsed`, else at once.
   */
  addUsed(id: number, tag: number, descriptors: number, written: number): void {
    this.#unflushed += descriptors;
    this.#unflushedId = id | (tag << 15);
    this.#unflushedLen = written;
    if (!this.#inOrder) this.flushUsed();
  }

  /** Shows the driver everything given back so far, by one used descriptor (§2.8.8). */
  flushUsed(): void {
    if (this.#unflushed === 0) return;
    const position = this.#nextUsed;
    const at = this.#ring + (position & this.#mask) * DESCRIPTOR_WORDS;
    this.#words[at + 2] = this.#unflushedLen | 0;
    // §2.8.3: WRITE tells that bytes were written; without it the driver ignores the length (§2.8.4).
    const write = this.#unflushedLen > 0 ? VIRTQ_DESC_F_WRITE << 16 : 0;
    this.#notifyFrom = position;
    this.#nextUsed = (position + this.#unflushed) & this.#lap;
    this.#unflushed = 0;
    // Release and full fence: pairs with the acquire in DriverQueue's used side and with DriverQueue.enableNotifications.
    storeFence(this.#words, at + 3, usedBits(position, this.size) | write | this.#unflushedId);
  }

  /** Whether the driver waits for used buffers at all: then holding back `flushUsed` would stall it. */
  driverWaits(): boolean {
    // Relaxed: a stale "no" is mended by the driver, which posts work to us when it starts to wait.
    return ((this.#words[this.#driverEvent]! >>> 16) & 3) !== RING_EVENT_FLAGS_DISABLE;
  }

  /** Whether the driver asked to hear of the last flush (§2.8.10). Call after `flushUsed`. */
  needsNotification(): boolean {
    // Pairs with the fence in DriverQueue.enableNotifications.
    return wantsEvent(
      loadAcquire(this.#words, this.#driverEvent),
      this.#notifyFrom,
      this.#nextUsed,
      this.size,
    );
  }

  /**
   * Asks the driver to notify when it makes a buffer available, or with `afterDescriptors` only once that many more are.
   * True when one is already there: look again before sleeping.
   */
  enableNotifications(afterDescriptors = 0): boolean {
    const word =
      afterDescriptors > 0
        ? eventAt((this.#nextAvailable + afterDescriptors - 1) & this.#lap, this.size)
        : EVENT_ENABLE;
    // Full fence: pairs with the one in DriverQueue.publish.
    storeFence(this.#words, this.#deviceEvent, word);
    return this.hasAvailable();
  }

  /** Tells the driver not to notify: this side polls. A notification under way may still come (§2.8.10). */
  disableNotifications(): void {
    this.#words[this.#deviceEvent] = EVENT_DISABLE;
  }

  #isAvailable(position: number): boolean {
    const at = this.#ring + (position & this.#mask) * DESCRIPTOR_WORDS + 3;
    // Acquire: pairs with the release in DriverQueue.publish.
    const last = loadAcquire(this.#words, at);
    return (last & AVAIL_USED_MASK) === availableBits(position, this.size);
  }

  /** Chains, writable elements and indirect tables. */
  #takeSlow(
    chain: DescriptorChain,
    firstAddr: number,
    firstLen: number,
    firstFlags: number,
    firstLast: number,
  ): boolean {
    chain.count = 0;
    if (firstFlags & VIRTQ_DESC_F_INDIRECT) {
      // §2.8.19 forbids NEXT here; WRITE is reserved and ignored (§2.8.7).
      if (firstFlags & VIRTQ_DESC_F_NEXT) this.#break('an indirect descriptor has NEXT');
      this.#takeTable(chain, firstAddr, firstLen);
      return this.#finish(chain, firstLast, 1);
    }
    let addr = firstAddr;
    let len = firstLen;
    let flags = firstFlags;
    let last = firstLast;
    for (let n = 1; ; n++) {
      this.#element(chain, addr, len, flags);
      if ((flags & VIRTQ_DESC_F_NEXT) === 0) return this.#finish(chain, last, n);
      const position = (this.#nextAvailable + n) & this.#lap;
      if (((position - this.#nextUsed) & this.#lap) >= this.size)
        this.#break('a chain is longer than the free ring');
      if (!this.#isAvailable(position)) this.#break('a chain runs past the available descriptors');
      const at = this.#ring + (position & this.#mask) * DESCRIPTOR_WORDS;
      last = this.#words[at + 3]!;
      flags = (last >>> 16) & 7;
      if (flags & VIRTQ_DESC_F_INDIRECT) this.#break('a chained descriptor is indirect');
      addr = (this.#words[at + 1]! >>> 0) * WORD_SPAN + (this.#words[at]! >>> 0);
      len = this.#words[at + 2]! >>> 0;
    }
  }

  /** §2.8.7: `len` bytes of descriptors of which only addr, len and WRITE mean something. */
  #takeTable(chain: DescriptorChain, addr: number, len: number): void {
    const count = len / DESCRIPTOR_BYTES;
    if (!Number.isInteger(count) || count === 0 || count > this.size)
      this.#break(`an indirect table of ${len} bytes`);
    if (addr < this.#start || addr + len > this.#end || addr % DESCRIPTOR_BYTES !== 0)
      this.#break(`an indirect table at ${addr}+${len}`);
    for (let i = 0, at = addr / 4; i < count; i++, at += DESCRIPTOR_WORDS) {
      const elementAddr = (this.#words[at + 1]! >>> 0) * WORD_SPAN + (this.#words[at]! >>> 0);
      const flags = (this.#words[at + 3]! >>> 16) & VIRTQ_DESC_F_WRITE;
      this.#element(chain, elementAddr, this.#words[at + 2]! >>> 0, flags);
    }
  }

  #element(chain: DescriptorChain, addr: number, len: number, flags: number): void {
    const n = chain.count;
    if (n === chain.addrs.length) this.#break(`a chain of more than ${n} elements`);
    if (addr < this.#start || addr + len > this.#end) this.#break(`a descriptor spans ${addr}+${len}`);
    const writable = flags & VIRTQ_DESC_F_WRITE ? 1 : 0;
    // §2.8.17: device-readable elements come before device-writable ones.
    if (n > 0 && writable < chain.writable[n - 1]!) this.#break('a readable element follows a writable one');
    chain.addrs[n] = addr;
    chain.lens[n] = len;
    chain.writable[n] = writable;
    chain.count = n + 1;
  }

  #finish(chain: DescriptorChain, last: number, descriptors: number): true {
    chain.addr = chain.addrs[0]!;
    chain.len = chain.lens[0]!;
    chain.id = last & 0x7fff;
    chain.tag = (last >>> 15) & 1;
    chain.descriptors = descriptors;
    this.#nextAvailable = (this.#nextAvailable + descriptors) & this.#lap;
    return true;
  }

  #break(why: string): never {
    this.#broken = why;
    throw new IvshmemError('ERR_IVSHMEM_QUEUE_BROKEN', { role: 'device', why });
  }
}
