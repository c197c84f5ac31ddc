import type { DmaMemory } from '../vfio/dma.ts';
import type { Segment } from '../virtqueue/driver-queue.ts';
import { DESCRIPTOR_BYTES, VIRTQ_DESC_F_WRITE } from '../virtqueue/layout.ts';
import { BLK_HEADER_BYTES, NO_ANSWER, SECTOR_BYTES, VIRTIO_BLK_T_IN } from './blk-layout.ts';

const WORD_SPAN = 2 ** 32;
/** Offsets within a slot: header, status, then the indirect table on a line of its own, then the data on its own page. */
const STATUS = BLK_HEADER_BYTES;
const TABLE = 64;
const DATA = 4096;
/** How many descriptors fit between the table's start and the data. */
const MAX_SEGMENTS = (DATA - TABLE) / DESCRIPTOR_BYTES;

/** The place of one request under way: struct virtio_blk_req and its indirect table in DMA memory (VIRTIO 1.3 §5.2.6). */
export class BlkRequest {
  /** Bytes of DMA memory a slot takes whose data area has `dataBytes`; whole pages. */
  static slotBytes(dataBytes: number): number {
    return DATA + Math.ceil(dataBytes / DATA) * DATA;
  }

  /** Largest data area whose segments of `sizeMax` bytes fit the table and `segMax`; whole sectors. */
  static dataLimit(sizeMax: number, segMax: number): number {
    const segments = Math.min(segMax, MAX_SEGMENTS - 2);
    return Math.floor((segments * sizeMax) / SECTOR_BYTES) * SECTOR_BYTES;
  }

  readonly data: Uint8Array;
  readonly #memory: DmaMemory;
  readonly #at: number;
  readonly #sizeMax: number;
  readonly #words: Uint32Array;

  constructor(memory: DmaMemory, at: number, dataBytes: number, sizeMax: number) {
    this.#memory = memory;
    this.#at = at;
    this.#sizeMax = sizeMax;
    this.#words = new Uint32Array(memory.buffer, at, DATA / 4);
    this.data = memory.view(at + DATA, dataBytes);
  }

  get tableAddress(): number {
    return this.#memory.iova + this.#at + TABLE;
  }

  /** What the device answered; NO_ANSWER when it wrote none. */
  get status(): number {
    return this.#memory.view(this.#at + STATUS, 1)[0]!;
  }

  /** Fills the header and returns the elements: header, data (none for a flush), status. */
  prepare(type: number, sector: number, dataBytes: number): Segment[] {
    this.#words[0] = type;
    this.#words[1] = 0;
    this.#words[2] = sector >>> 0;
    this.#words[3] = Math.floor(sector / WORD_SPAN);
    this.#memory.view(this.#at + STATUS, 1)[0] = NO_ANSWER;
    const base = this.#memory.iova + this.#at;
    const segments: Segment[] = [{ addr: base, len: BLK_HEADER_BYTES }];
    // §5.2.4: no segment is longer than size_max.
    for (let done = 0; done < dataBytes; done += this.#sizeMax)
      segments.push({
        addr: base + DATA + done,
        len: Math.min(this.#sizeMax, dataBytes - done),
        writable: type === VIRTIO_BLK_T_IN,
      });
    segments.push({ addr: base + STATUS, len: 1, writable: true });
    return segments;
  }

  /** Writes the elements as an indirect table; WRITE is the only flag allowed there (§2.8.7.1). */
  writeTable(segments: readonly Segment[]): void {
    for (const [n, { addr, len, writable }] of segments.entries()) {
      const at = (TABLE + n * DESCRIPTOR_BYTES) / 4;
      this.#words[at] = addr >>> 0;
      this.#words[at + 1] = Math.floor(addr / WORD_SPAN);
      this.#words[at + 2] = len;
      this.#words[at + 3] = writable ? VIRTQ_DESC_F_WRITE << 16 : 0;
    }
  }
}
