import { closeSync } from 'node:fs';
import { binding, type Mapping } from '../native/binding.ts';
import { IovaAllocator } from '../vfio/iova.ts';

const SIZE_BYTES = 64 * 1024 * 1024;

/**
 * The memory of a machine without an IOMMU to speak of: one sparse memfd in which an I/O virtual address is an offset. It places
 * allocations by the same rule as a container places addresses, so that both agree; `holds` tells when they do not.
 */
export class FakeMemory {
  readonly #memfd = binding.createMemfd('ivshmem-fake-dma', SIZE_BYTES, false, false);
  readonly #allocator = new IovaAllocator();
  readonly #placed = new Map<Mapping, number>();
  #all: Mapping | undefined;

  /** All of it, as the devices see it. */
  get buffer(): ArrayBuffer {
    this.#all ??= binding.mapFile(this.#memfd, 0, SIZE_BYTES, true);
    return this.#all.buffer;
  }

  allocate(length: number): Mapping {
    const at = this.#allocator.allocate(length, SIZE_BYTES);
    if (at === undefined) throw Object.assign(new Error('ENOMEM: mmap'), { code: 'ENOMEM', syscall: 'mmap' });
    const mapping = binding.mapFile(this.#memfd, at, length, true);
    new Uint8Array(mapping.buffer).fill(0);
    this.#placed.set(mapping, at);
    return mapping;
  }

  holds(mapping: Mapping, iova: number, length: number): boolean {
    return this.#placed.get(mapping) === iova && mapping.byteLength === length;
  }

  free(iova: number, length: number): void {
    this.#allocator.free(iova, length);
    for (const [mapping, at] of this.#placed) if (at === iova) this.#placed.delete(mapping);
  }

  close(): void {
    this.#all?.close();
    closeSync(this.#memfd);
  }
}
