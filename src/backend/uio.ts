import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { IvshmemError } from '../errors/index.ts';
import { binding, type Mapping } from '../native/binding.ts';
import { PciAddress } from '../pci/address.ts';
import { type PciFunction, PciSysfs } from '../pci/sysfs.ts';
import type { Backend } from './backend.ts';
import { DOORBELL, doorbellValue, fence, IV_POSITION, MEMORY_BAR, REGISTER_BAR } from './registers.ts';
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
  try {
    const memory = mapBar(device, MEMORY_BAR, options.writeCombining === true);
    return new UioBackend(device, registers, memory, options.dev ?? '/dev');
  } catch (error) {
    registers.close();
    throw error;
  }
}

class UioBackend implements Backend {
  readonly kind = 'uio';
  readonly on: string;
  readonly ivPosition: number;
  readonly memory: Mapping;
  readonly interrupts: readonly number[] = [];
  readonly #registers: Mapping;
  readonly #words: Uint32Array;
  readonly #stopWatching: () => void;
  readonly #removed: (() => void)[] = [];
  #state: 'open' | 'removed' | 'closed' = 'open';

  constructor(device: PciFunction, registers: Mapping, memory: Mapping, dev: string) {
    this.on = device.address.toString();
    this.memory = memory;
    this.#registers = registers;
    this.#words = new Uint32Array(registers.buffer);
    this.ivPosition = this.#words[IV_POSITION / 4]! & 0xffff;
    this.#stopWatching = watchRemoval(
      device.uioNodes.map((node) => join(dev, node)),
      () => device.driver === 'uio_pci_generic',
      () => this.#remove(),
    );
  }

  ring(peer: number, vector: number): void {
    if (this.#state !== 'open') return;
    fence();
    // One aligned 32-bit store: the only access the device takes (ivshmem spec, "PCI device registers").
    this.#words[DOORBELL / 4] = doorbellValue(peer, vector);
  }

  onRemoved(callback: () => void): void {
    this.#removed.push(callback);
  }

  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#stopWatching();
    this.memory.close();
    this.#registers.close();
  }

  #remove(): void {
    if (this.#state !== 'open') return;
    this.#state = 'removed';
    this.#stopWatching();
    this.memory.revoke();
    this.#registers.revoke();
    for (const callback of this.#removed.splice(0)) callback();
  }
}

function mapBar(device: PciFunction, bar: number, writeCombining: boolean): Mapping {
  const on = device.address.toString();
  const sizeBytes = device.resources()[bar]?.sizeBytes ?? 0;
  if (sizeBytes === 0) throw new IvshmemError('ERR_IVSHMEM_BAR_ABSENT', { bar, on });
  const combined = device.resourcePath(bar, true);
  const path = writeCombining && existsSync(combined) ? combined : device.resourcePath(bar);
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r+');
    return binding.mapFile(fd, 0, Math.ceil(sizeBytes / PAGE_BYTES) * PAGE_BYTES, true);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'EACCES') throw new IvshmemError('ERR_IVSHMEM_ACCESS_DENIED', { on: path }, { cause });
    const hint =
      code === 'EPERM'
        ? 'Kernel lockdown forbids mapping PCI memory through sysfs: use vfio-pci, or boot without Secure Boot.'
        : 'Check that the device is still plugged in (`ivshmem status`).';
    throw new IvshmemError('ERR_IVSHMEM_UIO', { operation: 'map', on: path, why: message, hint }, { cause });
  } finally {
    if (fd !== undefined) closeSync(fd); // The mapping keeps the file.
  }
}
