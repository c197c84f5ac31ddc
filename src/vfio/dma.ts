import type { Mapping } from '../native/binding.ts';
import type { DmaMapping, MapDmaOptions, VfioContainer } from './container.ts';
import { attempt } from './fault.ts';

const PAGE_BYTES = 4096;
const HUGE_PAGE_BYTES = 2 * 1024 * 1024;

export interface DmaMemoryOptions extends MapDmaOptions {
  /** 2 MiB pages: fewer IOMMU translations; needs vm.nr_hugepages. */
  readonly hugePages?: boolean;
}

/**
 * Memory that both this process and the devices of a container reach: page-aligned, zeroed, pinned while it is open.
 * `iova` is where the device finds byte 0.
 */
export class DmaMemory {
  readonly buffer: ArrayBuffer;
  readonly byteLength: number;
  readonly iova: number;
  readonly #mapping: Mapping;
  readonly #dma: DmaMapping;

  private constructor(mapping: Mapping, dma: DmaMapping) {
    this.#mapping = mapping;
    this.#dma = dma;
    this.buffer = mapping.buffer;
    this.byteLength = mapping.byteLength;
    this.iova = dma.iova;
  }

  /**
   * Allocates at least `bytes` (rounded up to whole pages). ERR_IVSHMEM_VFIO names the limit of locked memory when that is what
   * stands in the way: an unprivileged user has 8 MiB by default.
   */
  static allocate(container: VfioContainer, bytes: number, options: DmaMemoryOptions = {}): DmaMemory {
    const unit = options.hugePages === true ? HUGE_PAGE_BYTES : PAGE_BYTES;
    const length = Math.max(1, Math.ceil(bytes / unit)) * unit;
    const mapping = attempt('allocate memory for DMA', `${length} bytes`, () =>
      container.system.mapAnonymous(length, options.hugePages === true),
    );
    try {
      return new DmaMemory(mapping, container.mapDma(mapping, options));
    } catch (error) {
      mapping.close();
      throw error;
    }
  }

  /** A view of `length` bytes from `offset`. */
  view(offset = 0, length = this.byteLength - offset): Uint8Array {
    return new Uint8Array(this.buffer, offset, length);
  }

  /** Takes the memory from the devices, then from this process. The devices MUST be quiet. Idempotent. */
  close(): void {
    this.#dma.unmap();
    this.#mapping.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
