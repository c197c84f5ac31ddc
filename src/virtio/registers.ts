import type { VfioDevice } from '../vfio/device.ts';
import type { VfioRegion } from '../vfio/region.ts';
import type { Window } from './capabilities.ts';

const WORD_SPAN = 2 ** 32;

/** The registers in one window of a BAR. Each access has its field's width (VIRTIO 1.3 §4.1.3.1). */
export class Registers {
  readonly sizeBytes: number;
  readonly #region: VfioRegion;
  readonly #base: number;

  constructor(device: VfioDevice, window: Window) {
    this.#region = device.region(window.bar);
    if (this.#region.mappable) this.#region.map();
    this.#base = window.offset;
    this.sizeBytes = window.sizeBytes;
  }

  read8(offset: number): number {
    return this.#region.read8(this.#base + offset);
  }

  read16(offset: number): number {
    return this.#region.read16(this.#base + offset);
  }

  read32(offset: number): number {
    return this.#region.read32(this.#base + offset);
  }

  write8(offset: number, value: number): void {
    this.#region.write8(this.#base + offset, value);
  }

  write16(offset: number, value: number): void {
    this.#region.write16(this.#base + offset, value);
  }

  write32(offset: number, value: number): void {
    this.#region.write32(this.#base + offset, value);
  }

  /** A 64-bit address as two 32-bit accesses, low half first (§4.1.3.1). */
  writeAddress(offset: number, address: number): void {
    this.write32(offset, address >>> 0);
    this.write32(offset + 4, Math.floor(address / WORD_SPAN));
  }
}
