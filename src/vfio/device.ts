import { forEveryone } from '../errors/for-everyone.ts';
import type { FdWatch } from '../native/binding.ts';
import { ConfigSpace, PCI_COMMAND, PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY } from '../pci/config-space.ts';
import { type Msix, readMsix } from '../pci/msix.ts';
import {
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_REQ_IRQ_INDEX,
} from './constants.ts';
import { attempt, closedFault, vfioFault } from './fault.ts';
import { VfioIrq } from './irq.ts';
import { VfioRegion } from './region.ts';
import type { VfioSystem } from './system.ts';

/** A PCI device in the hands of this process (linux/vfio.h, "IOCTLs for DEVICE file descriptors"). Made by VfioGroup.openDevice. */
export class VfioDevice {
  /** PCI address. */
  readonly name: string;
  readonly fd: number;
  /** Whether reset() can work. */
  readonly resettable: boolean;
  readonly regionCount: number;
  readonly irqCount: number;
  readonly #system: VfioSystem;
  readonly #onClose: ((device: VfioDevice) => void)[];
  readonly #regions = new Map<number, VfioRegion>();
  readonly #irqs = new Map<number, VfioIrq>();
  #requestWatch: FdWatch | undefined;
  #state: 'open' | 'released' | 'closed' = 'open';

  private constructor(
    name: string,
    fd: number,
    info: { flags: number; regions: number; irqs: number },
    system: VfioSystem,
    onClose: (device: VfioDevice) => void,
  ) {
    this.name = name;
    this.fd = fd;
    this.resettable = (info.flags & VFIO_DEVICE_FLAGS_RESET) !== 0;
    this.regionCount = info.regions;
    this.irqCount = info.irqs;
    this.#system = system;
    this.#onClose = [onClose];
  }

  /** Takes ownership of `fd`, a device descriptor. Refuses what is not a PCI device. */
  static open(
    name: string,
    fd: number,
    system: VfioSystem,
    onClose: (device: VfioDevice) => void,
  ): VfioDevice {
    try {
      const info = attempt('read the device information', name, () => system.vfioDeviceInfo(fd));
      if ((info.flags & VFIO_DEVICE_FLAGS_PCI) === 0)
        throw vfioFault('open the device', name, new Error('it is not a PCI device'));
      return new VfioDevice(name, fd, info, system, onClose);
    } catch (error) {
      system.close(fd);
      throw error;
    }
  }

  /** Whether the descriptor is gone, by release() or close(). */
  get closed(): boolean {
    return this.#state !== 'open';
  }

  /** A region by its index: BAR n is region n. The same object each time. */
  region(index: number): VfioRegion {
    this.#check('use a region');
    return getOrMake(this.#regions, index, () => new VfioRegion(this.name, this.fd, index, this.#system));
  }

  /** An interrupt index (VFIO_PCI_MSIX_IRQ_INDEX and its like). The same object each time. */
  irq(index: number): VfioIrq {
    this.#check('use an interrupt');
    return getOrMake(this.#irqs, index, () => new VfioIrq(this.name, this.fd, index, this.#system));
  }

  /** The MSI-X vectors; its `count` is 0 on a device without the capability. */
  get msixIrq(): VfioIrq {
    return this.irq(VFIO_PCI_MSIX_IRQ_INDEX);
  }

  /** A copy of the configuration space, read now. */
  config(): ConfigSpace {
    const region = this.region(VFIO_PCI_CONFIG_REGION_INDEX);
    return new ConfigSpace(region.readBytes(0, region.sizeBytes));
  }

  /** The MSI-X capability; undefined when there is none. */
  msix(): Msix | undefined {
    return readMsix(this.config());
  }

  /** Lets the device answer to its memory BARs (PCI 3.0 §6.2.2, Command bit 1). Without it a load returns all ones. */
  enableMemorySpace(): void {
    this.#setCommand(PCI_COMMAND_MEMORY);
  }

  /** Lets the device write to memory, which MSI-X messages are too (PCI 3.0 §6.2.2, Command bit 2). */
  enableBusMaster(): void {
    this.#setCommand(PCI_COMMAND_MASTER);
  }

  /** Function-level or bus reset, as the kernel chooses. Afterwards Command is as the kernel left it: enable again. */
  reset(): void {
    this.#check('reset the device');
    attempt('reset the device', this.name, () => this.#system.vfioDeviceReset(this.fd));
  }

  /**
   * Calls back when the kernel wants the device back: unplug, or unbind of vfio-pci (VFIO_PCI_REQ_IRQ_INDEX). The kernel waits
   * until release() or close(). False on kernels that do not tell. Does not keep the process alive.
   */
  onRequest(callback: () => void): boolean {
    if (this.irqCount <= VFIO_PCI_REQ_IRQ_INDEX) return false;
    const irq = this.irq(VFIO_PCI_REQ_IRQ_INDEX);
    if (irq.count === 0) return false;
    const [eventfd] = irq.enable(1);
    const watch = new this.#system.FdWatch(eventfd!, () => {
      // The kernel repeats the request every few seconds until the device is free: one is enough for us.
      if (this.#system.eventfdDrain(eventfd!) > 0 && this.#state === 'open') callback();
    });
    this.#requestWatch = watch;
    watch.start(true, false);
    return true;
  }

  /** Runs once, when the device is released or closed. */
  onClose(callback: () => void): void {
    this.#onClose.push(callback);
  }

  /**
   * Gives the device back but leaves memory and eventfds standing: mappings turn to zero pages, so that a load in flight
   * finds zeros and not SIGBUS. close() clears up the rest. Idempotent.
   */
  release(): void {
    if (this.#state !== 'open') return;
    this.#state = 'released';
    // A mapping holds a reference to the device's file, hence revoke before close: otherwise the unplug would never complete.
    for (const region of this.#regions.values()) region.revoke();
    this.#letGo();
  }

  /** Unmaps regions (their buffers detach), disables interrupts, closes eventfds and the device. Idempotent. */
  close(): void {
    const before = this.#state;
    if (before === 'closed') return;
    this.#state = 'closed';
    for (const region of this.#regions.values()) region.close();
    this.#requestWatch?.close();
    try {
      forEveryone(this.#irqs.values(), (irq) => irq.close());
    } finally {
      if (before === 'open') this.#letGo();
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Closing the descriptor makes the kernel disable interrupts and bus mastering and reset the device. */
  #letGo(): void {
    this.#requestWatch?.close();
    for (const irq of this.#irqs.values()) irq.forget();
    this.#system.close(this.fd);
    for (const callback of this.#onClose.splice(0)) callback(this);
  }

  #setCommand(bits: number): void {
    const config = this.region(VFIO_PCI_CONFIG_REGION_INDEX);
    config.write16(PCI_COMMAND, config.read16(PCI_COMMAND) | bits);
  }

  #check(operation: string): void {
    if (this.#state !== 'open') throw closedFault(operation, this.name);
  }
}

function getOrMake<T>(map: Map<number, T>, index: number, make: () => T): T {
  const known = map.get(index);
  if (known !== undefined) return known;
  const made = make();
  map.set(index, made);
  return made;
}
