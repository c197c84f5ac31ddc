import type { VfioContainer } from '../vfio/container.ts';
import { DmaMemory } from '../vfio/dma.ts';
import { DriverQueue, type Segment, type UsedBuffer } from '../virtqueue/driver-queue.ts';
import { DESCRIPTOR_BYTES } from '../virtqueue/layout.ts';
import type { QueueAddresses } from './transport.ts';

/** The event suppression structures keep to lines of their own. */
const EVENT_STRIDE = 64;

/** Told when a buffer is back: how many bytes the device says it wrote, or why it will never come back. */
export type Done = (written: number, error?: Error) => void;

/**
 * One virtqueue of a virtio-pci device: a DriverQueue in DMA memory, and who waits for which buffer. The caller rings and
 * listens: `notify` is called when the device asks for it, `serve` is to be called when it interrupts.
 */
export class VirtioQueue {
  readonly addresses: QueueAddresses;
  readonly #ring: DriverQueue;
  readonly #memory: DmaMemory;
  readonly #notify: () => void;
  readonly #waiting: (Done | undefined)[];
  readonly #used: UsedBuffer = { id: 0, len: 0 };
  #failure: Error | undefined;

  /** `size`: a power of two. */
  constructor(container: VfioContainer, size: number, inOrder: boolean, notify: () => void) {
    const driverEvent = size * DESCRIPTOR_BYTES;
    const deviceEvent = driverEvent + EVENT_STRIDE;
    this.#memory = DmaMemory.allocate(container, deviceEvent + EVENT_STRIDE);
    const { buffer, iova } = this.#memory;
    this.#ring = new DriverQueue({ memory: buffer, size, ring: 0, driverEvent, deviceEvent, inOrder });
    this.addresses = {
      size,
      descriptors: iova,
      driverEvent: iova + driverEvent,
      deviceEvent: iova + deviceEvent,
    };
    this.#notify = notify;
    this.#waiting = new Array<Done | undefined>(size).fill(undefined);
  }

  /** Free descriptors. */
  get free(): number {
    return this.#ring.free;
  }

  /** Buffers the device has. */
  get outstanding(): number {
    return this.#ring.outstanding;
  }

  /** Makes a descriptor chain available; `done` runs when it comes back. Throws what broke the queue, when it is broken. */
  submit(segments: readonly Segment[], done: Done): void {
    this.check();
    this.#publish(this.#ring.add(segments), done);
  }

  /** The same with a table of `count` descriptors at `addr`, which takes one descriptor of the ring. */
  submitIndirect(addr: number, count: number, done: Done): void {
    this.check();
    this.#publish(this.#ring.addIndirect(addr, count), done);
  }

  /**
   * Takes back what the device has used and tells who waits. A device that breaks the ring's protocol fails everything that is under
   * way: the error goes to each `done`.
   */
  serve(): void {
    if (this.#failure !== undefined) return;
    try {
      this.#ring.disableNotifications();
      // Looks again after asking for notifications: one that was due in between will not come (VIRTIO 1.3 §2.8.21.3.1).
      do {
        while (this.#ring.takeUsed(this.#used)) this.#finish(this.#used.id, this.#used.len);
      } while (this.#ring.enableNotifications());
    } catch (error) {
      this.fail(error as Error);
    }
  }

  /** Ends the queue: whoever waits is told `error`, and so is every later submit. */
  fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    const waiting = this.#waiting.splice(0);
    for (const done of waiting) done?.(0, error);
  }

  /** Frees the ring. The device MUST have been reset. Idempotent. */
  close(): void {
    this.#memory.close();
  }

  #publish(id: number, done: Done): void {
    this.#waiting[id] = done;
    this.#ring.publish();
    if (this.#ring.needsNotification()) this.#notify();
  }

  #finish(id: number, written: number): void {
    const done = this.#waiting[id];
    this.#waiting[id] = undefined;
    done?.(written);
  }

  /** Throws what broke or closed the queue. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
