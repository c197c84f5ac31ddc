import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { IvshmemError } from '../errors/index.ts';
import { binding, type Mapping } from '../native/binding.ts';
import { Parts } from '../native/parts.ts';
import { PciAddress } from '../pci/address.ts';
import { type PciFunction, PciSysfs } from '../pci/sysfs.ts';
import type { Backend, MemoryFile, Part } from './backend.ts';
import type { GuardedBars } from './guardian.ts';
import { PciBackend } from './pci-backend.ts';
import { DOORBELL, IV_POSITION, MEMORY_BAR, REGISTER_BAR } from './registers.ts';
import { watchRemoval } from './uio-removal.ts';

const PAGE_BYTES = 4096;

export interface OpenUioOptions {
  /**
   * Map BAR2 through resource2_wc: stores are combined, loads stay uncached. Several times faster to write where the
   * hypervisor honours the guest's memory types (AMD); no difference where it does not (Intel). Default false.
   */
  readonly writeCombining?: boolean;
  readonly sysfs?: PciSysfs;
  /** Where the /dev/uioN nodes are; for tests. */
  readonly dev?: string;
}

/**
 * Opens an ivshmem device bound to uio_pci_generic: BAR0 and BAR2 mapped from sysfs. That driver has no MSI-X, so `interrupts`
 * is empty and memory must be polled; doorbells to others work.
 *
 * ERR_IVSHMEM_DEVICE_UNBOUND: another driver has the device. ERR_IVSHMEM_ACCESS_DENIED: the resource files are not this
 * user's. ERR_IVSHMEM_UIO: the kernel refused (lockdown, device disabled).
 */
export function openUio(address: string | PciAddress, options: OpenUioOptions = {}): Backend {
  const parsed = typeof address === 'string' ? PciAddress.parse(address) : address;
  if (parsed === undefined) throw new IvshmemError('ERR_IVSHMEM_PCI_ADDRESS', { address: String(address) });
  const device = (options.sysfs ?? new PciSysfs()).function(parsed);
  const on = parsed.toString();
  const { driver = 'no driver' } = device;
  if (driver !== 'uio_pci_generic') throw new IvshmemError('ERR_IVSHMEM_DEVICE_UNBOUND', { on, driver });
  if (!device.config().memorySpace)
    throw new IvshmemError('ERR_IVSHMEM_UIO', {
      operation: 'use the BARs',
      on,
      why: 'memory space is off in its Command register',
      hint: `Enable the device: \`echo 1 | sudo tee ${join(device.path, 'enable')}\`.`,
    });
  const registers = mapBar(device, REGISTER_BAR, false);
  let memory: MappedBar | undefined;
  try {
    memory = mapBar(device, MEMORY_BAR, options.writeCombining === true);
    return new UioBackend(device, registers, memory, options.dev ?? '/dev');
  } catch (error) {
    memory?.close();
    registers.close();
    throw error;
  }
}

class UioBackend extends PciBackend {
  readonly kind = 'uio';
  readonly ivPosition: number;
  readonly interrupts: readonly number[] = [];
  readonly #registers: MappedBar;
  readonly #memory: MappedBar;
  readonly #words: Uint32Array;
  readonly #stopWatching: () => void;

  constructor(device: PciFunction, registers: MappedBar, memory: MappedBar, dev: string) {
    super(device.address.toString(), device.path);
    this.#memory = memory;
    this.#registers = registers;
    this.#words = new Uint32Array(registers.mapping.buffer);
    this.ivPosition = this.#words[IV_POSITION / 4]! & 0xffff;
    this.#stopWatching = watchRemoval(
      device.uioNodes.map((node) => join(dev, node)),
      () => device.driver === 'uio_pci_generic',
      // The kernel has taken the BARs out of the mappings by now.
      () => this.remove(false),
    );
    this.watch();
  }

  get memory(): Mapping {
    return this.#memory.mapping;
  }

  override mapPart(offset: number, bytes: number): Mapping {
    return this.#memory.mapPart(offset, bytes);
  }

  override mapWith(make: (file: MemoryFile) => Part): () => void {
    return this.#memory.mapWith(make);
  }

  protected override readRegister(offset: number): number {
    return this.#words[offset / 4]!;
  }

  protected override writeDoorbell(value: number): void {
    // One aligned 32-bit store: the only access the device takes (ivshmem spec, "PCI device registers").
    this.#words[DOORBELL / 4] = value;
  }

  protected override mappedRegisters(): ArrayBuffer {
    return this.#registers.mapping.buffer;
  }

  protected override bars(): GuardedBars {
    return {
      memory: { fd: this.#memory.fd, offset: 0 },
      doorbell: { fd: this.#registers.fd, offset: DOORBELL },
    };
  }

  protected override revoke(): void {
    this.#stopWatching();
    this.#memory.revoke();
    this.#registers.revoke();
  }

  protected override release(): void {
    this.#stopWatching();
    this.#memory.close();
    this.#registers.close();
  }
}

/** A BAR and the sysfs file it is mapped from, which stays open for the guardian. It does not hold the device. */
class MappedBar {
  readonly fd: number;
  readonly mapping: Mapping;
  readonly #parts = new Parts();

  /** Opens the file and maps it; owns both. */
  constructor(path: string, bytes: number) {
    this.fd = openSync(path, 'r+');
    let mapping: Mapping | undefined;
    try {
      mapping = binding.mapFile(this.fd, 0, bytes, true);
      // UIO does not ask before an unplug: until inotify tells of it, what looks at the BAR finds zeros.
      mapping.guard();
      this.mapping = mapping;
    } catch (error) {
      mapping?.close();
      closeSync(this.fd);
      throw error;
    }
  }

  mapPart(offset: number, bytes: number): Mapping {
    const part = this.#parts.add(binding.mapFile(this.fd, offset, bytes, true));
    try {
      part.guard();
      return part;
    } catch (error) {
      part.close();
      throw error;
    }
  }

  mapWith(make: (file: MemoryFile) => Part): () => void {
    return this.#parts.adopt(make({ fd: this.fd, offset: 0 }));
  }

  revoke(): void {
    this.mapping.revoke();
    this.#parts.revoke();
  }

  /** Call it once. */
  close(): void {
    this.#parts.close();
    this.mapping.close();
    closeSync(this.fd);
  }
}

function mapBar(device: PciFunction, bar: number, writeCombining: boolean): MappedBar {
  const on = device.address.toString();
  const sizeBytes = device.resources()[bar]?.sizeBytes ?? 0;
  if (sizeBytes === 0) throw new IvshmemError('ERR_IVSHMEM_BAR_ABSENT', { bar, on });
  const combined = device.resourcePath(bar, true);
  const path = writeCombining && existsSync(combined) ? combined : device.resourcePath(bar);
  try {
    return new MappedBar(path, Math.ceil(sizeBytes / PAGE_BYTES) * PAGE_BYTES);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'EACCES') throw new IvshmemError('ERR_IVSHMEM_ACCESS_DENIED', { on: path }, { cause });
    const hint =
      code === 'EPERM'
        ? 'Kernel lockdown forbids mapping PCI memory through sysfs: use vfio-pci, or boot without Secure Boot.'
        : 'Check that the device is still plugged in (`ivshmem status`).';
    throw new IvshmemError('ERR_IVSHMEM_UIO', { operation: 'map', on: path, why: message, hint }, { cause });
  }
}
