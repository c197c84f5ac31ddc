import { forEveryone } from '../errors/for-everyone.ts';
import type { Mapping } from '../native/binding.ts';
import { VFIO_API_VERSION, VFIO_NOIOMMU_IOMMU, VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU } from './constants.ts';
import { attempt, closedFault, vfioFault } from './fault.ts';
import { VfioGroup } from './group.ts';
import { IovaAllocator } from './iova.ts';
import { kernel, type VfioSystem } from './system.ts';

const CONTAINER_PATH = '/dev/vfio/vfio';

export type IommuKind = 'type1v2' | 'type1' | 'noiommu';

const types = { type1v2: VFIO_TYPE1v2_IOMMU, type1: VFIO_TYPE1_IOMMU, noiommu: VFIO_NOIOMMU_IOMMU } as const;

/** One stretch of memory that devices of this container may reach. Frees its address when unmapped. */
export interface DmaMapping {
  /** I/O virtual address: what the device is told. */
  readonly iova: number;
  readonly byteLength: number;
  /** Idempotent. The device MUST be quiet (reset, or bus mastering off): its next access faults. */
  unmap(): void;
}

export interface MapDmaOptions {
  /** A chosen I/O virtual address (page-aligned); by default the lowest free one. */
  readonly iova?: number;
  /** The address must end at or below this; 2^32 for devices with 32-bit addresses. */
  readonly below?: number;
  /** The device may read (default true) and write (default true). */
  readonly readable?: boolean;
  readonly writable?: boolean;
}

/**
 * A VFIO container: one I/O address space, shared by the groups in it (linux/vfio.h, "IOCTLs for VFIO file
 * descriptor"). Closing it closes its groups and their devices, in the only order the kernel accepts.
 */
export class VfioContainer {
  readonly fd: number;
  readonly system: VfioSystem;
  readonly iova = new IovaAllocator();
  readonly #groups = new Set<VfioGroup>();
  readonly #mappings = new Set<DmaMapping>();
  #iommu: IommuKind | undefined;
  #closed = false;

  private constructor(fd: number, system: VfioSystem) {
    this.fd = fd;
    this.system = system;
  }

  /** Opens /dev/vfio/vfio and checks the API version. Fails with ERR_IVSHMEM_VFIO or ERR_IVSHMEM_ACCESS_DENIED. */
  static open(system: VfioSystem = kernel): VfioContainer {
    const fd = attempt('open the VFIO container', CONTAINER_PATH, () => system.open(CONTAINER_PATH));
    const container = new VfioContainer(fd, system);
    try {
      const version = attempt('read the API version', CONTAINER_PATH, () => system.vfioApiVersion(fd));
      if (version !== VFIO_API_VERSION)
        throw vfioFault('use VFIO', CONTAINER_PATH, new Error(`its API version is ${version}, not 0`));
      return container;
    } catch (error) {
      container.close();
      throw error;
    }
  }

  /** The IOMMU model in force; undefined until the first group is in. */
  get iommu(): IommuKind | undefined {
    return this.#iommu;
  }

  get groups(): readonly VfioGroup[] {
    return [...this.#groups];
  }

  /** Whether the kernel offers an IOMMU model. `noiommu` needs vfio.enable_unsafe_noiommu_mode=1. */
  supports(kind: IommuKind): boolean {
    this.#check('ask for an extension');
    return (
      attempt('check an extension', CONTAINER_PATH, () =>
        this.system.vfioCheckExtension(this.fd, types[kind]),
      ) > 0
    );
  }

  /**
   * Opens an IOMMU group and puts it into this container. The first group decides the IOMMU model: type1v2, else type1;
   * `noiommu` for a group that has none. Every device of the group must be bound to a VFIO driver or to none.
   */
  openGroup(number: number): VfioGroup {
    this.#check('open a group');
    const group = VfioGroup.open(number, this.system, (closed) => this.#groups.delete(closed));
    try {
      attempt('put the group into the container', group.path, () =>
        this.system.vfioGroupSetContainer(group.fd, this.fd),
      );
      group.attached = true;
      // The IOMMU model can be set only once a group is in, and only once (linux/vfio.h, VFIO_SET_IOMMU).
      if (this.#iommu === undefined) this.#setIommu(group);
      for (const range of group.reservedRegions()) this.iova.reserve(range);
    } catch (error) {
      group.close();
      throw error;
    }
    this.#groups.add(group);
    return group;
  }

  /**
   * Lets the devices of this container reach the whole of `mapping` (a multiple of 4096 bytes). Needs an IOMMU: without one a
   * device is given physical addresses, which a process cannot know.
   */
  mapDma(mapping: Mapping, options: MapDmaOptions = {}): DmaMapping {
    this.#check('map memory for DMA');
    const { byteLength } = mapping;
    const iova = this.#address(byteLength, options);
    try {
      attempt('map memory for DMA', CONTAINER_PATH, () =>
        this.system.vfioMapDma(
          this.fd,
          mapping,
          0,
          byteLength,
          iova,
          options.readable ?? true,
          options.writable ?? true,
        ),
      );
    } catch (error) {
      this.iova.free(iova, byteLength);
      throw error;
    }
    const dma: DmaMapping = { iova, byteLength, unmap: () => this.#unmapDma(dma) };
    this.#mappings.add(dma);
    return dma;
  }

  /** Closes the groups, drops the DMA mappings, closes the container. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const groups = [...this.#groups];
    const steps = [
      // Devices first: they are quiet before the memory they reach goes away.
      ...groups.map((group) => () => group.closeDevices()),
      ...[...this.#mappings].map((dma) => () => dma.unmap()),
      ...groups.map((group) => () => group.close()),
      // The kernel drops whatever a failed step left behind with the last descriptor.
      () => this.system.close(this.fd),
    ];
    forEveryone(steps, (step) => step());
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #setIommu(group: VfioGroup): void {
    const wanted: IommuKind[] = group.noIommu ? ['noiommu'] : ['type1v2', 'type1'];
    const kind = wanted.find((candidate) => this.supports(candidate));
    if (kind === undefined)
      throw vfioFault(
        'choose an IOMMU model',
        group.path,
        new Error(`the kernel offers none of ${wanted.join(', ')}`),
      );
    attempt('set the IOMMU model', group.path, () => this.system.vfioSetIommu(this.fd, types[kind]));
    this.#iommu = kind;
  }

  #address(bytes: number, options: MapDmaOptions): number {
    if (options.iova === undefined) {
      const iova = this.iova.allocate(bytes, options.below);
      if (iova !== undefined) return iova;
    } else if (this.iova.claim(options.iova, bytes)) return options.iova;
    const what = options.iova === undefined ? `${bytes} bytes` : `address 0x${options.iova.toString(16)}`;
    throw vfioFault(
      'map memory for DMA',
      CONTAINER_PATH,
      new Error(`no I/O virtual addresses are free for ${what}`),
    );
  }

  #unmapDma(dma: DmaMapping): void {
    if (!this.#mappings.delete(dma)) return;
    this.iova.free(dma.iova, dma.byteLength);
    attempt('unmap memory from DMA', CONTAINER_PATH, () =>
      this.system.vfioUnmapDma(this.fd, dma.iova, dma.byteLength),
    );
  }

  #check(operation: string): void {
    if (this.#closed) throw closedFault(operation, CONTAINER_PATH);
  }
}
