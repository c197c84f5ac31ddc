import { VFIO_IRQ_INFO_EVENTFD } from './constants.ts';
import { attempt, closedFault, vfioFault } from './fault.ts';
import type { VfioSystem } from './system.ts';

/**
 * One interrupt index of a device (INTx, MSI, MSI-X, error, request) with its vectors (linux/vfio.h,
 * VFIO_DEVICE_GET_IRQ_INFO). Each enabled vector signals an eventfd.
 */
export class VfioIrq {
  readonly index: number;
  readonly flags: number;
  /** Vectors the device has at this index; 0 when it does not have the index. */
  readonly count: number;
  readonly on: string;
  readonly #fd: number;
  readonly #system: VfioSystem;
  #eventfds: number[] = [];
  #enabled = false;
  #closed = false;

  constructor(device: string, fd: number, index: number, system: VfioSystem) {
    this.index = index;
    this.on = `${device} interrupt index ${index}`;
    this.#fd = fd;
    this.#system = system;
    const info = attempt('read the interrupt information', this.on, () => system.vfioIrqInfo(fd, index));
    this.flags = info.flags;
    this.count = info.count;
  }

  /** One per enabled vector, non-blocking, owned by this object. They stay open after disable(), until close(). */
  get eventfds(): readonly number[] {
    return this.#eventfds;
  }

  /** Makes an eventfd for each of the first `vectors` vectors (by default all) and lets the kernel signal them. */
  enable(vectors = this.count): readonly number[] {
    if (this.#closed) throw closedFault('enable interrupts', this.on);
    if (this.#enabled) throw vfioFault('enable interrupts', this.on, new Error('they are enabled already'));
    if (vectors < 1 || vectors > this.count || (this.flags & VFIO_IRQ_INFO_EVENTFD) === 0)
      throw vfioFault(
        'enable interrupts',
        this.on,
        new Error(`${vectors} vectors were asked for and the device has ${this.count}`),
      );
    while (this.#eventfds.length < vectors) this.#eventfds.push(this.#system.eventfdCreate());
    const eventfds = this.#eventfds.slice(0, vectors);
    attempt('enable interrupts', this.on, () =>
      this.#system.vfioSetIrqEventfds(this.#fd, this.index, 0, eventfds),
    );
    this.#enabled = true;
    return eventfds;
  }

  /** Takes all vectors from the kernel. Idempotent. */
  disable(): void {
    if (!this.#enabled) return;
    this.#enabled = false;
    attempt('disable interrupts', this.on, () => this.#system.vfioDisableIrqs(this.#fd, this.index));
  }

  /** The device's file is closed: the kernel took the vectors down with it. */
  forget(): void {
    this.#enabled = false;
  }

  /** Disables and closes the eventfds: whoever polls them must have stopped. Idempotent; the device calls it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.disable();
    } finally {
      for (const eventfd of this.#eventfds) this.#system.close(eventfd);
      this.#eventfds = [];
    }
  }
}
