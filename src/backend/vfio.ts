import { IvshmemError } from '../errors/index.ts';
import type { Mapping } from '../native/binding.ts';
import { PciAddress } from '../pci/address.ts';
import { PciSysfs } from '../pci/sysfs.ts';
import type { VfioDevice } from '../vfio/device.ts';
import { type OpenPciOptions, openPciDevice } from '../vfio/open.ts';
import type { VfioRegion } from '../vfio/region.ts';
import type { Backend, MemoryFile, Part } from './backend.ts';
import type { GuardedBars } from './guardian.ts';
import { PciBackend } from './pci-backend.ts';
import { DOORBELL, IV_POSITION, MEMORY_BAR, REGISTER_BAR } from './registers.ts';

/**
 * Opens an ivshmem device bound to vfio-pci: BAR0 and BAR2 mapped, every MSI-X vector on an eventfd, memory and bus
 * mastering on. Fails as openPciDevice does, or with ERR_IVSHMEM_BAR_ABSENT. `onRemoved` follows VFIO's request interrupt.
 */
export function openVfio(address: string | PciAddress, options: OpenPciOptions = {}): Backend {
  const { device } = openPciDevice(address, options);
  try {
    const sysfs = options.sysfs ?? new PciSysfs();
    return new VfioBackend(device, sysfs.function(PciAddress.parse(device.name)!).path);
  } catch (error) {
    device.close();
    throw error;
  }
}

class VfioBackend extends PciBackend {
  readonly kind = 'vfio';
  readonly ivPosition: number;
  readonly memory: Mapping;
  readonly interrupts: readonly number[];
  readonly #device: VfioDevice;
  readonly #registers: VfioRegion;

  constructor(device: VfioDevice, directory: string) {
    super(device.name, directory);
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
    device.onRequest(() => this.remove(true));
    this.watch();
  }

  override mapPart(offset: number, bytes: number): Mapping {
    return this.#bar(MEMORY_BAR).mapPart(offset, bytes);
  }

  override mapWith(make: (file: MemoryFile) => Part): () => void {
    return this.#bar(MEMORY_BAR).mapWith(make);
  }

  protected override readRegister(offset: number): number {
    return this.#registers.read32(offset);
  }

  protected override writeDoorbell(value: number): void {
    this.#registers.write32(DOORBELL, value);
  }

  protected override mappedRegisters(): ArrayBuffer | null {
    return this.#registers.mappable ? this.#registers.map().buffer : null;
  }

  protected override bars(): GuardedBars {
    const { fd } = this.#device;
    return {
      memory: { fd, offset: this.#bar(MEMORY_BAR).offset },
      doorbell: { fd, offset: this.#registers.offset + DOORBELL },
    };
  }

  protected override revoke(): void {
    this.#device.release();
  }

  protected override release(): void {
    this.#device.close();
  }

  #bar(index: number): VfioRegion {
    const region = this.#device.region(index);
    if (region.sizeBytes === 0) throw new IvshmemError('ERR_IVSHMEM_BAR_ABSENT', { bar: index, on: this.on });
    return region;
  }
}
