import { IvshmemError } from '../errors/index.ts';
import type { Mapping } from '../native/binding.ts';
import type { PciAddress } from '../pci/address.ts';
import type { VfioDevice } from '../vfio/device.ts';
import { type OpenPciOptions, openPciDevice } from '../vfio/open.ts';
import type { VfioRegion } from '../vfio/region.ts';
import type { Backend } from './backend.ts';
import { DOORBELL, doorbellValue, fence, IV_POSITION, MEMORY_BAR, REGISTER_BAR } from './registers.ts';

/**
 * Opens an ivshmem device bound to vfio-pci: BAR0 and BAR2 mapped, every MSI-X vector on an eventfd, memory and bus
 * mastering on. Fails as openPciDevice does, or with ERR_IVSHMEM_BAR_ABSENT. `onRemoved` follows VFIO's request interrupt.
 */
export function openVfio(address: string | PciAddress, options: OpenPciOptions = {}): Backend {
  const { device } = openPciDevice(address, options);
  try {
    return new VfioBackend(device);
  } catch (error) {
    device.close();
    throw error;
  }
}

class VfioBackend implements Backend {
  readonly kind = 'vfio';
  readonly on: string;
  readonly ivPosition: number;
  readonly memory: Mapping;
  readonly interrupts: readonly number[];
  readonly #device: VfioDevice;
  readonly #registers: VfioRegion;
  readonly #removed: (() => void)[] = [];
  #state: 'open' | 'removed' | 'closed' = 'open';

  constructor(device: VfioDevice) {
    this.on = device.name;
    this.#device = device;
    device.enableMemorySpace();
    // Without it the MSI-X message of a doorbell, which is a write to memory, is dropped (PCI 3.0 §6.2.2).
    device.enableBusMaster();
    this.#registers = this.#bar(REGISTER_BAR);
    // Some machines put BAR0 on a page with other BARs; then the doorbell is a pwrite.
    if (this.#registers.mappable) this.#registers.map();
    this.memory = this.#bar(MEMORY_BAR).map();
    this.ivPosition = this.#registers.read32(IV_POSITION) & 0xffff;
    // The capability is the device's word, VFIO's count what the kernel can set up. ivshmem-plain has neither.
    const vectors = Math.min(device.msix()?.vectors ?? 0, device.msixIrq.count);
    this.interrupts = vectors > 0 ? device.msixIrq.enable(vectors) : [];
    device.onRequest(() => this.#remove());
  }

  ring(peer: number, vector: number): void {
    if (this.#state !== 'open') return;
    fence();
    this.#registers.write32(DOORBELL, doorbellValue(peer, vector));
  }

  onRemoved(callback: () => void): void {
    this.#removed.push(callback);
  }

  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#device.close();
  }

  #remove(): void {
    if (this.#state !== 'open') return;
    this.#state = 'removed';
    // Zero pages stand in for the BARs and the device is the kernel's again, before anybody is told: a callback that throws
    // cannot hold up the unplug. The eventfds stay, for somebody may be polling them.
    this.#device.release();
    for (const callback of this.#removed.splice(0)) callback();
  }

  #bar(index: number): VfioRegion {
    const region = this.#device.region(index);
    if (region.sizeBytes === 0) throw new IvshmemError('ERR_IVSHMEM_BAR_ABSENT', { bar: index, on: this.on });
    return region;
  }
}
