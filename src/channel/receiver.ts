import { IvshmemError } from '../errors/index.ts';
import { binding } from '../native/binding.ts';
import {
  DESCRIPTOR_BYTES,
  DescriptorChain,
  type DeviceQueue,
  TAKEN,
  TAKEN_NONE,
} from '../virtqueue/index.ts';
import { type DataArea, Message, ReceivedBurst } from './message.ts';

/** Empty polls in a row after which held-back buffers are given back: long enough that a ping-pong never pays for it. */
const IDLE_POLLS = 64;
/** Bit 15 of a buffer ID: the message continues (docs/shared-memory.md, "Messages"). */
const TAG = 0x8000;
/** Most messages one `receiveBurst` lends. */
export const BURST_MESSAGES = 64;
/** Fewer messages, or more bytes, than these are not worth a call to fetch ahead. */
const PREFETCH_FROM = 4;
const PREFETCH_BYTES = 16 << 10;
/** Small messages follow each other at this distance. */
const AHEAD_BYTES = 64;
/** Most elements one message may have: two for a message across the end of the area, the rest is a peer's own business. */
const MAX_ELEMENTS = 64;
/** Room for the parts of a message to start with; it doubles from there, up to maxMessageBytes. */
const FIRST_PARTS_BYTES = 4096;

/**
 * The receiving half of a channel: takes messages through the device role of one virtqueue and lends them in place.
 * Returning buffers is batched (VIRTIO 1.3 §2.8.8), because each return dirties a line the sender is about to write.
 */
export class Receiver {
  readonly area: DataArea;
  readonly #queue: DeviceQueue;
  readonly #notify: () => void;
  readonly #base: number;
  readonly #mask: number;
  readonly #chain = new DescriptorChain(MAX_ELEMENTS);
  readonly #messages: Message[];
  /** Of each lent message, by running number: buffer ID with its tag, and the running counts of descriptors and bytes after it. */
  readonly #ids: Uint16Array;
  readonly #descriptors: Int32Array;
  readonly #bytes: Int32Array;
  readonly #maxMessageBytes: number;
  readonly #flushDescriptors: number;
  readonly #flushBytes: number;
  /** Running numbers of the next message to take and of the oldest one still lent. */
  #next = 0;
  #oldest = 0;
  /** Running counts over all messages taken, given back, and (bytes) shown to the sender. They wrap at 2^32. */
  #takenDescriptors = 0;
  #takenBytes = 0;
  #givenDescriptors = 0;
  #givenBytes = 0;
  #flushedBytes = 0;
  /** What `received` counted when buffers were last given back: running number, and totals. */
  #flushedMessage = 0;
  readonly #counted = { buffers: 0, bytes: 0 };
  /** Buffers that did not end a message, and messages beyond the first of their burst, which share its running number. */
  #partBuffers = 0;
  #burstMessages = 0;
  #idlePolls = 0;
  readonly #window: number;
  /** What touchAhead read: kept, so that the load is not optimized away. */
  touched = 0;
  readonly #burst = new ReceivedBurst(BURST_MESSAGES);
  /** What our event suppression structure says; zeroed memory means enabled. */
  #notifying = true;
  /** Parts of a message that continues, already copied out: one array, so that many tiny parts cost no more than their bytes. */
  #parts: Uint8Array<ArrayBuffer> | null = null;
  #partBytes = 0;

  /** `notify` is called when the sender must hear that buffers came back. */
  constructor(queue: DeviceQueue, area: DataArea, base: number, maxMessageBytes: number, notify: () => void) {
    this.#notify = notify;
    this.#queue = queue;
    this.area = area;
    this.#base = base;
    this.#mask = queue.size - 1;
    this.#window = Math.min(area.bytes.length, queue.size * AHEAD_BYTES);
    this.#messages = Array.from({ length: queue.size }, () => new Message(area));
    this.#ids = new Uint16Array(queue.size);
    this.#descriptors = new Int32Array(queue.size);
    this.#bytes = new Int32Array(queue.size);
    this.#maxMessageBytes = maxMessageBytes;
    this.#flushDescriptors = queue.size / 4;
    this.#flushBytes = area.bytes.length / 4;
  }

  /** Messages lent and not released. */
  get lent(): number {
    return (this.#next - this.#oldest) >>> 0;
  }

  /** [messages, bytes] until now, without a cost on the way of a message. */
  received(): [number, number] {
    const { buffers, bytes } = this.#counted;
    const messages =
      buffers + ((this.#next - this.#flushedMessage) | 0) - this.#partBuffers + this.#burstMessages;
    return [messages, bytes + ((this.#takenBytes - this.#flushedBytes) >>> 0)];
  }

  /** Whether a message (or a part of one) is there. */
  hasMessage(): boolean {
    return this.#queue.hasAvailable();
  }

  /** The next message, lent until `release`; null when there is none. Parts of a large message are joined on the way. */
  receive(): Message | null {
    const queue = this.#queue;
    const taken = queue.takeReadable();
    if (taken === TAKEN) {
      const message = this.#lend(queue.takenId, 1, queue.takenLen);
      message.point(queue.takenAddr - this.#base, queue.takenLen);
      if ((queue.takenId & TAG) !== 0 || this.#parts !== null)
        return this.#collectPart(message, queue.takenId >= TAG);
      return message;
    }
    if (taken === TAKEN_NONE) {
      // Long enough without a message: the sender may want the buffers we hold back.
      if (queue.unflushed !== 0 && ++this.#idlePolls >= IDLE_POLLS) this.flush();
      return null;
    }
    return this.#receiveChain();
  }

  /**
   * Up to BURST_MESSAGES messages at once, lent until `release()`; null when there is none, or when the next one is in several
   * segments or parts: `receive` takes those. Fetches their lines, and the descriptors behind them, while the caller looks
   * at the first.
   */
  receiveBurst(): ReceivedBurst | null {
    if (this.#parts !== null) return null;
    const burst = this.#burst;
    const { offsets, lengths } = burst;
    const count = this.#queue.takeReadableBurst(offsets, lengths, BURST_MESSAGES);
    if (count === 0) {
      if (this.#queue.unflushed !== 0 && ++this.#idlePolls >= IDLE_POLLS) this.flush();
      return null;
    }
    burst.count = count;
    this.#burstMessages += count - 1;
    let bytes = 0;
    for (let i = 0; i < count; i++) bytes += lengths[i]!;
    this.#lend(this.#queue.takenId, count, bytes).lent = true;
    if (count >= PREFETCH_FROM) {
      const { buffer } = this.area.bytes;
      const first = offsets[0]!;
      const span = offsets[count - 1]! + lengths[count - 1]! - first;
      if (span > 0 && span <= PREFETCH_BYTES) binding.prefetch(buffer, this.#base + first, span, false);
      binding.prefetch(buffer, this.#queue.nextDescriptor, count * DESCRIPTOR_BYTES, false);
    }
    return burst;
  }

  #receiveChain(): Message | null {
    const chain = this.#chain;
    if (!this.#queue.take(chain)) return null;
    const segments = this.#segments();
    const bytes = segments.reduce((sum, segment) => sum + segment.length, 0);
    // Elements may overlap: joining what a hostile sender chains would take any memory there is.
    if (bytes > this.area.bytes.length) this.#break(`a message of ${bytes} bytes in a smaller data area`);
    const message = this.#lend(chain.id | (chain.tag << 15), chain.descriptors, bytes);
    message.pointAll(segments);
    if (chain.tag !== 0 || this.#parts !== null) return this.#collectPart(message, chain.tag !== 0);
    return message;
  }

  /**
   * Looks at where the next message will probably lie, for a poll that found none: its line is then on the way together with
   * the descriptor's instead of after it.
   */
  touchAhead(): void {
    const last = this.#messages[(this.#next - 1) & this.#mask]!;
    // Behind a large message the guess is worth nothing, and would only take lines from the sender.
    if (last.length > AHEAD_BYTES) return;
    const ahead = last.offset + AHEAD_BYTES;
    this.touched = this.area.words[(ahead >= this.#window ? 0 : ahead) >> 2]!;
  }

  /** Notes what has to be given back, and returns the object to lend. */
  #lend(id: number, descriptors: number, bytes: number): Message {
    const at = this.#next & this.#mask;
    this.#idlePolls = 0;
    this.#ids[at] = id;
    this.#takenDescriptors = (this.#takenDescriptors + descriptors) | 0;
    this.#takenBytes = (this.#takenBytes + bytes) | 0;
    this.#descriptors[at] = this.#takenDescriptors;
    this.#bytes[at] = this.#takenBytes;
    this.#next = (this.#next + 1) | 0;
    return this.#messages[at]!;
  }

  /**
   * Returns a message (every lent one without an argument). Buffers go back in order: one released early waits for those
   * before it.
   */
  release(message?: Message): void {
    const from = this.#oldest;
    const end = this.#next;
    let oldest = from;
    if (message === undefined) {
      for (; oldest !== end; oldest = (oldest + 1) | 0) this.#messages[oldest & this.#mask]!.lent = false;
    } else {
      message.lent = false;
      while (oldest !== end && !this.#messages[oldest & this.#mask]!.lent) oldest = (oldest + 1) | 0;
    }
    if (oldest !== from) this.#giveBack(oldest);
    const queue = this.#queue;
    const due =
      queue.unflushed >= this.#flushDescriptors ||
      ((this.#givenBytes - this.#flushedBytes) | 0) >= this.#flushBytes;
    if (due || queue.driverWaits()) this.flush();
  }

  /** Everything before running number `oldest` goes back, as one batch of used buffers. */
  #giveBack(oldest: number): void {
    const last = (oldest - 1) & this.#mask;
    const descriptors = (this.#descriptors[last]! - this.#givenDescriptors) | 0;
    const id = this.#ids[last]!;
    this.#oldest = oldest;
    this.#givenDescriptors = this.#descriptors[last]!;
    this.#givenBytes = this.#bytes[last]!;
    this.#queue.addUsed(id & ~TAG, id >>> 15, descriptors, 0);
  }

  /** Gives held buffers back now. */
  flush(): void {
    if (this.#queue.unflushed === 0) return;
    // At most one ring since the last time: the differences fit 32 bits.
    this.#counted.bytes += (this.#givenBytes - this.#flushedBytes) >>> 0;
    this.#counted.buffers += (this.#oldest - this.#flushedMessage) | 0;
    this.#flushedBytes = this.#givenBytes;
    this.#flushedMessage = this.#oldest;
    this.#idlePolls = 0;
    this.#queue.flushUsed();
    if (this.#queue.needsNotification()) this.#notify();
  }

  /** Asks the sender to notify of messages. True when one is already there. */
  enableNotifications(): boolean {
    if (this.#notifying) return this.#queue.hasAvailable();
    this.#notifying = true;
    return this.#queue.enableNotifications();
  }

  /** Tells the sender that this side polls. Stores only on a change: the sender reads that line at every burst. */
  disableNotifications(): void {
    if (!this.#notifying) return;
    this.#notifying = false;
    this.#queue.disableNotifications();
  }

  #segments(): Uint8Array[] {
    const { addrs, lens, writable, count } = this.#chain;
    const segments: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      if (writable[i] === 1) this.#break('a message has device-writable elements');
      const start = addrs[i]! - this.#base;
      segments.push(this.area.bytes.subarray(start, start + lens[i]!));
    }
    return segments;
  }

  /** Copies a part out, so that a message of any size passes through a ring of any size. */
  #collectPart(part: Message, more: boolean): Message | null {
    const end = this.#partBytes + part.length;
    if (end > this.#maxMessageBytes) {
      throw new IvshmemError('ERR_IVSHMEM_MESSAGE_TOO_LARGE', { most: this.#maxMessageBytes });
    }
    this.#parts ??= new Uint8Array(FIRST_PARTS_BYTES);
    if (end > this.#parts.length) {
      const grown = new Uint8Array(Math.max(end, Math.min(2 * this.#parts.length, this.#maxMessageBytes)));
      grown.set(this.#parts.subarray(0, this.#partBytes));
      this.#parts = grown;
    }
    let at = this.#partBytes;
    for (const segment of part.segments) {
      this.#parts.set(segment, at);
      at += segment.length;
    }
    this.#partBytes = end;
    this.release(part);
    if (more) this.#partBuffers++;
    // One part a call: a sender that never ends a message cannot keep us here. `hasMessage` tells that there is more.
    if (more) return null;
    const whole = this.#parts.subarray(0, end);
    this.#parts = null;
    this.#partBytes = 0;
    return Message.of(whole);
  }

  #break(why: string): never {
    throw new IvshmemError('ERR_IVSHMEM_QUEUE_BROKEN', { role: 'device', why });
  }
}
