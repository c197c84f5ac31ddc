import { IvshmemError } from '../errors/index.ts';
import type { FdWatch } from '../native/binding.ts';
import type { PciAddress } from '../pci/address.ts';
import type { VfioContainer } from '../vfio/container.ts';
import type { VfioDevice } from '../vfio/device.ts';
import { DmaMemory } from '../vfio/dma.ts';
import { type OpenPciOptions, openPciDevice } from '../vfio/open.ts';
import { kernel, type VfioSystem } from '../vfio/system.ts';
import type { Features } from './features.ts';
import { FEATURE, STATUS_FAILED } from './layout.ts';
import { VirtioQueue } from './queue.ts';
import { VirtioPciTransport } from './transport.ts';

export interface VirtioOpenOptions extends OpenPciOptions {
  /** Largest queue to set up, descriptors (default 128, rounded down to a power of two). */
  readonly queueSize?: number;
  /** Use indirect descriptors when the device offers them (default true). */
  readonly indirect?: boolean;
}

export interface VirtioNeeds {
  /** Virtio device type (§5). */
  readonly id: number;
  /** Feature bits to accept when offered, besides those of the ring. */
  readonly features: readonly number[];
  /** The driver can do without the length of each used buffer, which VIRTIO_F_IN_ORDER leaves out (§2.8.9). */
  readonly inOrder: boolean;
}

const DEFAULT_QUEUE_SIZE = 128;

/**
 * A virtio-pci device set up with one queue: what rng and blk have in common. Owns the VFIO device, the ring's memory and the
 * interrupt. The process stays alive while a request is under way, and not for an idle device.
 */
export class VirtioPciDevice {
  readonly on: string;
  readonly container: VfioContainer;
  readonly features: Features;
  readonly transport: VirtioPciTransport;
  readonly queue: VirtioQueue;
  readonly #device: VfioDevice;
  readonly #system: VfioSystem;
  readonly #queueVector: number;
  readonly #watches: readonly FdWatch[];
  readonly #memories: DmaMemory[] = [];
  #underWay = 0;
  #closed = false;

  private constructor(
    device: VfioDevice,
    container: VfioContainer,
    system: VfioSystem,
    transport: VirtioPciTransport,
    features: Features,
    queue: VirtioQueue,
  ) {
    this.on = device.name;
    this.#device = device;
    this.container = container;
    this.#system = system;
    this.transport = transport;
    this.features = features;
    this.queue = queue;
    // Vector 0 tells of configuration changes and the next one of the queue; a device with a single vector shares it (§4.1.5.1.2).
    const eventfds = device.msixIrq.enable(Math.min(2, device.msixIrq.count));
    this.#queueVector = eventfds.length - 1;
    this.#watches = eventfds.map(
      (eventfd, vector) => new system.FdWatch(eventfd, () => this.#interrupt(vector, eventfd)),
    );
  }

  /** §3.1.1: reset, features, queue, interrupt, DRIVER_OK. Errors as openPciDevice's, and ERR_IVSHMEM_VIRTIO_*. */
  static async open(
    address: string | PciAddress,
    needs: VirtioNeeds,
    options: VirtioOpenOptions = {},
  ): Promise<VirtioPciDevice> {
    const { device, container } = openPciDevice(address, options);
    try {
      if (container.iommu === 'noiommu')
        throw new IvshmemError('ERR_IVSHMEM_VIRTIO_FEATURES', {
          on: device.name,
          why: 'without an IOMMU the device takes physical addresses, which a process does not know',
        });
      const transport = VirtioPciTransport.open(device, needs.id);
      if (device.msixIrq.count === 0)
        throw new IvshmemError('ERR_IVSHMEM_VIRTIO_DEVICE', {
          on: device.name,
          why: 'it has no MSI-X vectors',
        });
      return await VirtioPciDevice.#start(device, container, transport, needs, options);
    } catch (error) {
      device.close();
      throw error;
    }
  }

  static async #start(
    device: VfioDevice,
    container: VfioContainer,
    transport: VirtioPciTransport,
    needs: VirtioNeeds,
    options: VirtioOpenOptions,
  ): Promise<VirtioPciDevice> {
    const wanted: number[] = [...needs.features, FEATURE.VIRTIO_F_EVENT_IDX];
    if (options.indirect ?? true) wanted.push(FEATURE.VIRTIO_F_INDIRECT_DESC);
    if (needs.inOrder) wanted.push(FEATURE.VIRTIO_F_IN_ORDER);
    let queue: VirtioQueue | undefined;
    try {
      const features = await transport.initialize(wanted);
      const most = Math.min(transport.maxQueueSize(0), options.queueSize ?? DEFAULT_QUEUE_SIZE);
      if (most < 2)
        throw new IvshmemError('ERR_IVSHMEM_VIRTIO_DEVICE', {
          on: device.name,
          why: 'its queue 0 has no size',
        });
      const inOrder = features.has(FEATURE.VIRTIO_F_IN_ORDER);
      queue = new VirtioQueue(container, 2 ** Math.floor(Math.log2(most)), inOrder, () =>
        transport.notify(0),
      );
      const opened = new VirtioPciDevice(
        device,
        container,
        options.system ?? kernel,
        transport,
        features,
        queue,
      );
      opened.#run();
      return opened;
    } catch (error) {
      // §3.1.1: a driver that gives up says so. Then reset, so that the device forgets the ring before its memory goes.
      transport.addStatus(STATUS_FAILED);
      transport.stop();
      queue?.close();
      throw error;
    }
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Runs `request` with the process kept alive until it settles. */
  async whileUnderWay<T>(request: () => Promise<T>): Promise<T> {
    if (this.#closed)
      throw new IvshmemError('ERR_IVSHMEM_CLOSED', { operation: 'use the device', on: this.on });
    if (this.#underWay++ === 0) for (const watch of this.#watches) watch.ref();
    try {
      return await request();
    } finally {
      // After close() the watches are gone, and so is what they held.
      if (--this.#underWay === 0 && !this.#closed) for (const watch of this.#watches) watch.unref();
    }
  }

  /** Memory for buffers, freed with the device after it was reset. */
  allocate(bytes: number): DmaMemory {
    const memory = DmaMemory.allocate(this.container, bytes);
    this.#memories.push(memory);
    return memory;
  }

  /** The device broke a rule: everything under way fails with this error, which is returned. */
  breakDevice(why: string): IvshmemError {
    const error = new IvshmemError('ERR_IVSHMEM_VIRTIO_BROKEN', { on: this.on, why });
    this.queue.fail(error);
    return error;
  }

  /** Resets the device, fails what is under way with ERR_IVSHMEM_CLOSED, frees the ring, closes the device. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const watch of this.#watches) watch.close();
    try {
      // Reset first: the device may be writing to the memory that goes away next (§2.4.1). A device whose container was closed
      // under us has been reset by the kernel.
      if (!this.#device.closed) this.transport.stop();
    } finally {
      this.#end(new IvshmemError('ERR_IVSHMEM_CLOSED', { operation: 'finish the request', on: this.on }));
    }
  }

  #run(): void {
    this.#device.onRequest(() => this.#remove());
    this.transport.setConfigVector(0);
    this.transport.enableQueue(0, this.queue.addresses, this.#queueVector);
    for (const watch of this.#watches) watch.start(true, false);
    this.transport.start();
  }

  #interrupt(vector: number, eventfd: number): void {
    this.#system.eventfdDrain(eventfd);
    if (vector === this.#queueVector) this.queue.serve();
    // Reading a register costs an exit to the hypervisor, so only for the vector that announces it.
    if (vector === 0 && !this.#closed && this.transport.needsReset)
      this.breakDevice('the device asks for a reset');
  }

  /** The kernel wants the device back: its registers are going, so no reset; closing the descriptor makes the kernel reset it. */
  #remove(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const watch of this.#watches) watch.close();
    this.#device.release();
    this.#end(new IvshmemError('ERR_IVSHMEM_DEVICE_REMOVED', { on: this.on }));
  }

  #end(error: Error): void {
    this.queue.fail(error);
    this.queue.close();
    for (const memory of this.#memories) memory.close();
    this.#device.close();
  }
}
