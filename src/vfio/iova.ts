/** Addresses [start, end) in bytes. */
export interface IovaRange {
  readonly start: number;
  readonly end: number;
}

const PAGE_BYTES = 4096;
/** Zero stays free so that a forgotten address is a fault, and so does the first MiB, legacy of the platform. */
const FIRST_IOVA = 1 << 20;
/** The narrowest IOMMU in use translates 39 bits (QEMU's intel-iommu, three-level tables). */
const IOVA_BITS = 39;

/**
 * Hands out I/O virtual addresses: first fit, whole pages, outside the ranges the platform reserves (the MSI window at
 * 0xfee00000 on x86). Addresses are safe integers, not BigInt.
 */
export class IovaAllocator {
  /** Taken and reserved ranges, sorted, disjoint or overlapping (reserved ranges may overlap). */
  #taken: IovaRange[] = [];
  readonly #limit: number;

  /** `bits`: width of an address, 20 to 52. */
  constructor(bits = IOVA_BITS) {
    this.#limit = 2 ** bits;
  }

  /** Takes a range out of use for good. */
  reserve(range: IovaRange): void {
    this.#insert({
      start: Math.floor(range.start / PAGE_BYTES) * PAGE_BYTES,
      end: Math.ceil(range.end / PAGE_BYTES) * PAGE_BYTES,
    });
  }

  /**
   * The lowest free range of `bytes` (rounded up to pages) that ends at or below `below`. Undefined when none is left.
   * Devices that address 32 bits ask for `below` = 2^32.
   */
  allocate(bytes: number, below = this.#limit): number | undefined {
    const length = Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
    let candidate = FIRST_IOVA;
    for (const { start, end } of this.#taken) {
      if (candidate + length <= start) break;
      candidate = Math.max(candidate, end);
    }
    if (candidate + length > Math.min(below, this.#limit)) return undefined;
    this.#insert({ start: candidate, end: candidate + length });
    return candidate;
  }

  /** Whether a chosen range is free; takes it when it is. */
  claim(start: number, bytes: number): boolean {
    const end = start + Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
    if (start < 0 || end > this.#limit) return false;
    if (this.#taken.some((range) => range.start < end && start < range.end)) return false;
    this.#insert({ start, end });
    return true;
  }

  /** Gives a range back that allocate or claim took; `start` as they returned it. */
  free(start: number, bytes: number): void {
    const end = start + Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
    this.#taken = this.#taken.filter((range) => range.start !== start || range.end !== end);
  }

  #insert(range: IovaRange): void {
    const at = this.#taken.findIndex((other) => other.start > range.start);
    this.#taken.splice(at === -1 ? this.#taken.length : at, 0, range);
  }
}

/** Parses /sys/kernel/iommu_groups/N/reserved_regions: "0x00000000fee00000 0x00000000feefffff msi" per line. */
export function parseReservedRegions(text: string): IovaRange[] {
  const ranges: IovaRange[] = [];
  for (const line of text.split('\n')) {
    const match = /^(0x[0-9a-f]+) (0x[0-9a-f]+) /i.exec(line);
    if (match === null) continue;
    // The file's ends are inclusive. Beyond 2^53 precision is lost, but such a range is beyond every IOMMU as well.
    ranges.push({ start: Number(match[1]), end: Number(match[2]) + 1 });
  }
  return ranges;
}
