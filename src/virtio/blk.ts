import { IvshmemError } from '../errors/index.ts';
import type { PciAddress } from '../pci/address.ts';
import { readBlkShape } from './blk-config.ts';
import {
  NO_ANSWER,
  SECTOR_BYTES,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_SIZE_MAX,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_S_UNSUPP,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
} from './blk-layout.ts';
import { BlkRequest } from './blk-request.ts';
import { type VirtioOpenOptions, VirtioPciDevice } from './device.ts';
import { FEATURE, VIRTIO_ID_BLOCK } from './layout.ts';
import type { Done } from './queue.ts';
import { Slots } from './slots.ts';

const DEFAULT_REQUESTS = 8;
const FEATURES = [VIRTIO_BLK_F_SIZE_MAX, VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_FLUSH];

export interface VirtioBlkOptions extends VirtioOpenOptions {
  /** Most requests under way at a time, of 64 KiB each (default 8). Each takes 68 KiB of locked memory. */
  readonly requests?: number;
}

/**
 * A virtio block device (VIRTIO 1.3 §5.2). Sectors are 512 bytes. Calls may overlap: they are split into requests of up to
 * 64 KiB of which several are under way, and the device may finish them in any order; only flush() orders them.
 */
export class VirtioBlk {
  /** Sectors of 512 bytes. */
  readonly capacity: number;
  readonly readOnly: boolean;
  readonly #device: VirtioPciDevice;
  readonly #requests: readonly BlkRequest[];
  readonly #slots: Slots;
  readonly #dataBytes: number;

  private constructor(device: VirtioPciDevice, options: VirtioBlkOptions) {
    const { capacity, readOnly, sizeMax, dataBytes, descriptors } = readBlkShape(device);
    this.#device = device;
    this.capacity = capacity;
    this.readOnly = readOnly;
    this.#dataBytes = dataBytes;
    const most = Math.floor(device.queue.addresses.size / descriptors);
    const count = Math.max(1, Math.min(options.requests ?? DEFAULT_REQUESTS, most));
    const slotBytes = BlkRequest.slotBytes(dataBytes);
    const memory = device.allocate(count * slotBytes);
    this.#requests = Array.from(
      { length: count },
      (_, n) => new BlkRequest(memory, n * slotBytes, dataBytes, sizeMax),
    );
    this.#slots = new Slots(count);
  }

  /** Opens the virtio-blk device at a PCI address; it must be bound to vfio-pci. */
  static async open(address: string | PciAddress, options: VirtioBlkOptions = {}): Promise<VirtioBlk> {
    const needs = { id: VIRTIO_ID_BLOCK, features: FEATURES, inOrder: true };
    const device = await VirtioPciDevice.open(address, needs, options);
    try {
      return new VirtioBlk(device, options);
    } catch (error) {
      device.close();
      throw error;
    }
  }

  /** PCI address. */
  get on(): string {
    return this.#device.on;
  }

  /** Feature bits agreed on, for those who want to know how the ring runs. */
  get features(): ReadonlySet<number> {
    return this.#device.features;
  }

  /** Reads `count` sectors. ERR_IVSHMEM_BLK_RANGE, ERR_IVSHMEM_BLK_STATUS, ERR_IVSHMEM_VIRTIO_BROKEN. */
  async read(sector: number, count: number): Promise<Uint8Array> {
    this.#checkRange('read', sector, count);
    const bytes = new Uint8Array(count * SECTOR_BYTES);
    await this.#transfer(VIRTIO_BLK_T_IN, sector, bytes);
    return bytes;
  }

  /** Writes whole sectors. It is on stable storage after the next flush(). Errors as read. */
  async write(sector: number, data: Uint8Array): Promise<void> {
    this.#checkRange('write', sector, data.length / SECTOR_BYTES);
    await this.#transfer(VIRTIO_BLK_T_OUT, sector, data);
  }

  /** Puts every write that has finished on stable storage; nothing to do for a device without a cache (§5.2.6.1). */
  async flush(): Promise<void> {
    if (!this.#device.features.has(VIRTIO_BLK_F_FLUSH)) return;
    await this.#device.whileUnderWay(() => this.#perform(VIRTIO_BLK_T_FLUSH, 0, new Uint8Array(0)));
  }

  close(): void {
    this.#device.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #transfer(type: number, sector: number, bytes: Uint8Array): Promise<void> {
    await this.#device.whileUnderWay(async () => {
      const pieces: Promise<void>[] = [];
      for (let at = 0; at < bytes.length; at += this.#dataBytes)
        pieces.push(
          this.#perform(type, sector + at / SECTOR_BYTES, bytes.subarray(at, at + this.#dataBytes)),
        );
      // All of them, so that after an error nobody still writes into what the caller has back.
      const failed = (await Promise.allSettled(pieces)).find((piece) => piece.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    });
  }

  async #perform(type: number, sector: number, bytes: Uint8Array): Promise<void> {
    const slot = await this.#slots.take();
    try {
      const status = await this.#request(this.#requests[slot]!, type, sector, bytes);
      if (status === NO_ANSWER) throw this.#device.breakDevice('it returned a request without a status');
      if (status !== VIRTIO_BLK_S_OK)
        throw new IvshmemError('ERR_IVSHMEM_BLK_STATUS', {
          operation: operationOf(type),
          sector,
          on: this.on,
          status: nameOf(status),
        });
    } finally {
      this.#slots.give(slot);
    }
  }

  /** One request to its status. `bytes` is what is written, or where what was read goes. */
  async #request(request: BlkRequest, type: number, sector: number, bytes: Uint8Array): Promise<number> {
    const { queue, features } = this.#device;
    queue.check();
    if (type === VIRTIO_BLK_T_OUT) request.data.set(bytes);
    const segments = request.prepare(type, sector, bytes.length);
    return new Promise((resolve, reject) => {
      // Everything is taken from DMA memory here and now: by the time the promise continues the device may be closed.
      const done: Done = (_written, error) => {
        if (error !== undefined) return reject(error);
        const { status } = request;
        if (type === VIRTIO_BLK_T_IN && status === VIRTIO_BLK_S_OK)
          bytes.set(request.data.subarray(0, bytes.length));
        return resolve(status);
      };
      if (!features.has(FEATURE.VIRTIO_F_INDIRECT_DESC)) return queue.submit(segments, done);
      request.writeTable(segments);
      return queue.submitIndirect(request.tableAddress, segments.length, done);
    });
  }

  #checkRange(operation: string, sector: number, count: number): void {
    const { capacity } = this;
    const whole = Number.isSafeInteger(sector) && Number.isSafeInteger(count);
    if (!whole || sector < 0 || count < 0 || sector + count > capacity)
      throw new IvshmemError('ERR_IVSHMEM_BLK_RANGE', { operation, count, sector, capacity });
  }
}

function operationOf(type: number): string {
  if (type === VIRTIO_BLK_T_FLUSH) return 'flush';
  return type === VIRTIO_BLK_T_IN ? 'read' : 'write';
}

function nameOf(status: number): string {
  if (status === VIRTIO_BLK_S_IOERR) return 'VIRTIO_BLK_S_IOERR';
  return status === VIRTIO_BLK_S_UNSUPP ? 'VIRTIO_BLK_S_UNSUPP' : `status ${status}`;
}
