import { closeSync } from 'node:fs';
import { binding } from '../native/binding.ts';
import {
  PCI_CAP_ID_MSIX,
  PCI_CAPABILITY_LIST,
  PCI_DEVICE_ID,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_VENDOR_ID,
} from '../pci/config-space.ts';
import { VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_MSIX_IRQ_INDEX } from '../vfio/constants.ts';

const CONFIG_BYTES = 256;
const FIRST_CAPABILITY = 0x40;
const MSIX_CAPABILITY_BYTES = 12;

/** A BAR: memory that can be mapped, or registers with a will of their own. */
export interface FakeBar {
  readonly sizeBytes: number;
  readonly memfd?: number;
  /** One access of 1, 2, 4 or 8 bytes. */
  read?(offset: number, width: number): number;
  write?(offset: number, width: number, value: number): void;
}

export interface FakePciDeviceOptions {
  readonly address: string;
  readonly group: number;
  readonly vendorId: number;
  readonly deviceId: number;
  readonly bars: readonly (FakeBar | undefined)[];
  /** MSI-X vectors; 0: no capability. */
  readonly vectors: number;
  /** Further capabilities, without their first two bytes: [id, ...body]. */
  readonly capabilities?: readonly (readonly number[])[];
}

/** A PCI device for FakeVfio: configuration space, BARs, interrupt vectors. */
export class FakePciDevice {
  readonly address: string;
  readonly group: number;
  readonly vectors: number;
  readonly bars: readonly (FakeBar | undefined)[];
  readonly config: Buffer;
  readonly #eventfds = new Map<number, number[]>();
  /** How often its descriptor was closed. */
  closes = 0;

  constructor(options: FakePciDeviceOptions) {
    this.address = options.address;
    this.group = options.group;
    this.vectors = options.vectors;
    this.bars = options.bars;
    this.config = configSpace(options);
  }

  setEventfds(index: number, start: number, eventfds: readonly number[]): void {
    if (eventfds.length === 0) this.#eventfds.delete(index);
    else this.#eventfds.set(index, [...(this.#eventfds.get(index) ?? []).slice(0, start), ...eventfds]);
  }

  /** Signals a vector, when somebody listens. Vectors of the MSI-X index by default. */
  interrupt(index: number = VFIO_PCI_MSIX_IRQ_INDEX, vector = 0): void {
    const eventfd = this.#eventfds.get(index)?.[vector];
    if (eventfd !== undefined) binding.eventfdSignal(eventfd);
  }

  /** The last descriptor is gone: the kernel disables interrupts. */
  closed(): void {
    this.closes++;
    this.#eventfds.clear();
  }

  read(region: number, offset: number, into: Uint8Array): number {
    if (region === VFIO_PCI_CONFIG_REGION_INDEX)
      return this.config.copy(into, 0, offset, offset + into.length);
    const value = this.bars[region]?.read?.(offset, into.length) ?? 0;
    Buffer.from(into.buffer, into.byteOffset, into.length).writeUIntLE(value, 0, Math.min(6, into.length));
    return into.length;
  }

  write(region: number, offset: number, from: Uint8Array): number {
    if (region === VFIO_PCI_CONFIG_REGION_INDEX) {
      this.config.set(from, offset);
      return from.length;
    }
    const value = Buffer.from(from).readUIntLE(0, Math.min(6, from.length));
    this.bars[region]?.write?.(offset, from.length, value);
    return from.length;
  }

  /** Closes the memory of the BARs. */
  close(): void {
    for (const bar of this.bars) if (bar?.memfd !== undefined) closeSync(bar.memfd);
  }
}

/** A BAR of plain memory that can be mapped. */
export function memoryBar(sizeBytes: number): FakeBar & { memfd: number } {
  const pages = Math.ceil(sizeBytes / 4096) * 4096;
  return { sizeBytes, memfd: binding.createMemfd('ivshmem-fake-bar', pages, false, false) };
}

function configSpace({ vendorId, deviceId, vectors, capabilities = [] }: FakePciDeviceOptions): Buffer {
  const config = Buffer.alloc(CONFIG_BYTES);
  config.writeUInt16LE(vendorId, PCI_VENDOR_ID);
  config.writeUInt16LE(deviceId, PCI_DEVICE_ID);
  const msix = Buffer.alloc(MSIX_CAPABILITY_BYTES);
  msix[0] = PCI_CAP_ID_MSIX;
  msix.writeUInt16LE(Math.max(0, vectors - 1), 2);
  const all = capabilities.map(([id = 0, ...body]) => Buffer.from([id, 0, ...body]));
  if (vectors > 0) all.unshift(msix);
  if (all.length > 0) config.writeUInt16LE(PCI_STATUS_CAP_LIST, PCI_STATUS);
  let at = FIRST_CAPABILITY;
  let pointer = PCI_CAPABILITY_LIST;
  for (const capability of all) {
    config[pointer] = at;
    capability.copy(config, at);
    pointer = at + 1;
    at += Math.ceil(capability.length / 4) * 4;
  }
  return config;
}
