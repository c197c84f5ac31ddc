import type { PciAddress } from '../pci/address.ts';
import type { DmaMemory } from '../vfio/dma.ts';
import { type VirtioOpenOptions, VirtioPciDevice } from './device.ts';
import { VIRTIO_ID_RNG } from './layout.ts';
import { Slots } from './slots.ts';

const MAX_SLOTS = 8;
const SLOT_BYTES = 4096;

/** A virtio entropy device (VIRTIO 1.3 §5.4): one queue of device-writable buffers that come back filled with random bytes. */
export class VirtioRng {
  readonly #device: VirtioPciDevice;
  readonly #memory: DmaMemory;
  readonly #slots: Slots;

  private constructor(device: VirtioPciDevice) {
    this.#device = device;
    // A request takes one descriptor, so a queue of fewer descriptors than slots would overflow.
    const slots = Math.min(MAX_SLOTS, device.queue.addresses.size);
    this.#slots = new Slots(slots);
    this.#memory = device.allocate(slots * SLOT_BYTES);
  }

  /** Opens the virtio-rng device at a PCI address; it must be bound to vfio-pci. */
  static async open(address: string | PciAddress, options: VirtioOpenOptions = {}): Promise<VirtioRng> {
    // The bytes of each buffer count, so no VIRTIO_F_IN_ORDER: it leaves lengths out.
    const needs = { id: VIRTIO_ID_RNG, features: [], inOrder: false };
    const device = await VirtioPciDevice.open(address, needs, options);
    try {
      return new VirtioRng(device);
    } catch (error) {
      device.close();
      throw error;
    }
  }

  /** PCI address. */
  get on(): string {
    return this.#device.on;
  }

  /**
   * `length` random bytes. Waits as long as the device's source does. ERR_IVSHMEM_VIRTIO_BROKEN when the device claims to have
   * written nothing or more than there was room for.
   */
  async read(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    return this.#device.whileUnderWay(async () => {
      // The device may fill less than a buffer (§5.4.6.1), so each piece goes on where the last one stopped.
      for (let at = 0; at < length; ) at += await this.#fill(bytes.subarray(at));
      return bytes;
    });
  }

  close(): void {
    this.#device.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #fill(target: Uint8Array): Promise<number> {
    const slot = await this.#slots.take();
    try {
      const room = Math.min(target.length, SLOT_BYTES);
      const written = await this.#request(slot, target.subarray(0, room));
      if (written === 0 || written > room)
        throw this.#device.breakDevice(`it says it wrote ${written} bytes to a buffer of ${room}`);
      return written;
    } finally {
      this.#slots.give(slot);
    }
  }

  #request(slot: number, target: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      const at = slot * SLOT_BYTES;
      const segment = { addr: this.#memory.iova + at, len: target.length, writable: true };
      this.#device.queue.submit([segment], (written, error) => {
        if (error !== undefined) return reject(error);
        // Copied here and now: by the time the promise continues the device may be closed.
        target.set(this.#memory.view(at, Math.min(written, target.length)));
        return resolve(written);
      });
    });
  }
}
