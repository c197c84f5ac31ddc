import { IvshmemError } from '../errors/index.ts';
import type { Mapping } from '../native/binding.ts';
import { type MemoryFile, type Part, Parts } from '../native/parts.ts';
import {
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
} from './constants.ts';
import { attempt, closedFault } from './fault.ts';
import type { VfioSystem } from './system.ts';

const PAGE_BYTES = 4096;

type Width = 1 | 2 | 4 | 8;
/** One array per access width. Elements are numbers, or bigints for 8. */
type Views = Record<Width, { [index: number]: number | bigint }> & { readonly 1: Uint8Array };

/**
 * A region of a VFIO device: a BAR, the configuration space, the ROM (linux/vfio.h, VFIO_DEVICE_GET_REGION_INFO). Registers are
 * little-endian and every access is one access of its width, aligned: by load and store once the region is mapped,
 * by pread and pwrite before. A typed array is used and not a DataView, which may split an access into bytes.
 */
export class VfioRegion {
  readonly index: number;
  /** VFIO_REGION_INFO_FLAG_*. */
  readonly flags: number;
  /** 0 when the device does not have this region. */
  readonly sizeBytes: number;
  /** Where the region starts in the device's file, bytes. */
  readonly offset: number;
  /** "0000:00:05.0 region 2", for messages. */
  readonly on: string;
  readonly #fd: number;
  readonly #system: VfioSystem;
  readonly #scratch = viewsOf(new ArrayBuffer(8));
  readonly #parts = new Parts();
  #mapping: Mapping | undefined;
  #views: Views | undefined;
  #state: 'open' | 'revoked' | 'closed' = 'open';

  constructor(device: string, fd: number, index: number, system: VfioSystem) {
    this.index = index;
    this.on = `${device} region ${index}`;
    this.#fd = fd;
    this.#system = system;
    const info = attempt('read the region information', this.on, () => system.vfioRegionInfo(fd, index));
    this.flags = info.flags;
    this.sizeBytes = info.size;
    this.offset = info.offset;
  }

  get readable(): boolean {
    return (this.flags & VFIO_REGION_INFO_FLAG_READ) !== 0;
  }

  get writable(): boolean {
    return (this.flags & VFIO_REGION_INFO_FLAG_WRITE) !== 0;
  }

  /** Small BARs share a page with others on some machines; then the kernel refuses to map them. */
  get mappable(): boolean {
    return this.sizeBytes > 0 && (this.flags & VFIO_REGION_INFO_FLAG_MMAP) !== 0;
  }

  /**
   * Maps the region (uncached, as VFIO maps every BAR) and lets read and write go through the mapping from now on. The mapping
   * belongs to the region and may be longer than it: whole pages. Further calls return the same one.
   */
  map(): Mapping {
    this.#check('map the region');
    if (this.#mapping === undefined) {
      const length = Math.ceil(this.sizeBytes / PAGE_BYTES) * PAGE_BYTES;
      this.#mapping = attempt('map the region', this.on, () =>
        this.#system.mapFile(this.#fd, this.offset, length, this.writable),
      );
      this.#views = viewsOf(this.#mapping.buffer);
    }
    return this.#mapping;
  }

  /** Maps a part of the region once more, for the caller to close; the offset is on a page. It is revoked and closed with the region. */
  mapPart(offset: number, bytes: number): Mapping {
    // Revoked: the descriptor is closed, and its number may be another file's.
    if (this.#state !== 'open') throw closedFault('map a part of the region', this.on);
    this.#bounds(offset, bytes, PAGE_BYTES);
    const map = () => this.#system.mapFile(this.#fd, this.offset + offset, bytes, this.writable);
    return this.#parts.add(attempt('map a part of the region', this.on, map));
  }

  /** For who maps parts of it by itself: what `make` returns is revoked and closed with the region. Returns how to take it off. */
  mapWith(make: (file: MemoryFile) => Part): () => void {
    if (this.#state !== 'open') throw closedFault('map a part of the region', this.on);
    return this.#parts.adopt(make({ fd: this.#fd, offset: this.offset }));
  }

  read8(offset: number): number {
    return Number(this.#read(offset, 1));
  }

  read16(offset: number): number {
    return Number(this.#read(offset, 2));
  }

  read32(offset: number): number {
    return Number(this.#read(offset, 4));
  }

  read64(offset: number): bigint {
    return BigInt(this.#read(offset, 8));
  }

  write8(offset: number, value: number): void {
    this.#write(offset, 1, value);
  }

  write16(offset: number, value: number): void {
    this.#write(offset, 2, value);
  }

  write32(offset: number, value: number): void {
    this.#write(offset, 4, value);
  }

  write64(offset: number, value: bigint): void {
    this.#write(offset, 8, value);
  }

  /** Reads bytes without regard to register widths: for memory-like regions and the configuration space. */
  readBytes(offset: number, length: number): Buffer {
    this.#check('read');
    this.#bounds(offset, length, 1);
    const bytes = Buffer.alloc(length);
    if (this.#views !== undefined) bytes.set(this.#views[1].subarray(offset, offset + length));
    else if (this.#state !== 'revoked') this.#transfer('read', offset, bytes);
    return bytes;
  }

  /** After a removal: loads of the mapping return zeros, stores go nowhere, and so do read and write. */
  revoke(): void {
    if (this.#state !== 'open') return;
    this.#state = 'revoked';
    this.#mapping?.revoke();
    this.#parts.revoke();
  }

  /** Detaches and unmaps. Idempotent; the device calls it. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#views = undefined;
    this.#mapping?.close();
    this.#parts.close();
  }

  #read(offset: number, width: Width): number | bigint {
    this.#check('read a register');
    this.#bounds(offset, width, width);
    if (this.#views !== undefined) return this.#views[width][offset / width]!;
    if (this.#state === 'revoked') return 0;
    this.#transfer('read', offset, this.#scratch[1].subarray(0, width));
    return this.#scratch[width][0]!;
  }

  #write(offset: number, width: Width, value: number | bigint): void {
    this.#check('write a register');
    this.#bounds(offset, width, width);
    if (this.#views !== undefined) {
      this.#views[width][offset / width] = value;
      return;
    }
    if (this.#state === 'revoked') return;
    this.#scratch[width][0] = value;
    this.#transfer('write', offset, this.#scratch[1].subarray(0, width));
  }

  /** pread or pwrite at the region's place in the device's file (linux/vfio.h, "Region offsets"). */
  #transfer(verb: 'read' | 'write', offset: number, bytes: Uint8Array): void {
    const done = attempt(verb, this.on, () => this.#system[verb](this.#fd, bytes, this.offset + offset));
    if (done !== bytes.length)
      throw new IvshmemError('ERR_IVSHMEM_VFIO', {
        operation: verb,
        on: this.on,
        why: `${done} of ${bytes.length} bytes went through at offset ${offset}`,
        hint: 'Check that the device is still plugged in.',
      });
  }

  #bounds(offset: number, length: number, alignment: number): void {
    if (
      !Number.isSafeInteger(offset) ||
      offset < 0 ||
      offset + length > this.sizeBytes ||
      offset % alignment !== 0
    )
      throw new IvshmemError('ERR_IVSHMEM_REGION_ACCESS', {
        length,
        offset,
        on: this.on,
        sizeBytes: this.sizeBytes,
      });
  }

  #check(operation: string): void {
    if (this.#state === 'closed') throw closedFault(operation, this.on);
  }
}

function viewsOf(buffer: ArrayBuffer): Views {
  return {
    1: new Uint8Array(buffer),
    2: new Uint16Array(buffer),
    4: new Uint32Array(buffer),
    8: new BigUint64Array(buffer),
  };
}
