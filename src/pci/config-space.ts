/** Offsets and bits of the configuration header, named as in linux/pci_regs.h (PCI Local Bus 3.0 §6.1, §6.2). */
export const PCI_VENDOR_ID = 0x00;
export const PCI_DEVICE_ID = 0x02;
export const PCI_COMMAND = 0x04;
export const PCI_STATUS = 0x06;
export const PCI_REVISION_ID = 0x08;
export const PCI_HEADER_TYPE = 0x0e;
export const PCI_CAPABILITY_LIST = 0x34;

export const PCI_COMMAND_MEMORY = 0x2;
export const PCI_COMMAND_MASTER = 0x4;
export const PCI_COMMAND_INTX_DISABLE = 0x400;
export const PCI_STATUS_CAP_LIST = 0x10;

export const PCI_CAP_ID_VNDR = 0x09;
export const PCI_CAP_ID_MSIX = 0x11;

/** Capabilities live between the 64-byte header and the end of the conventional space. */
const FIRST_CAPABILITY = 0x40;
const CONVENTIONAL_SIZE = 0x100;
/** At most one capability per 4 bytes fits: a longer walk is a loop. */
const MAX_CAPABILITIES = (CONVENTIONAL_SIZE - FIRST_CAPABILITY) / 4;

export interface Capability {
  /** PCI_CAP_ID_*. */
  readonly id: number;
  /** Byte offset of the capability in the configuration space. */
  readonly offset: number;
}

/** A copy of a PCI function's configuration space: the header is decoded, nothing is written. */
export class ConfigSpace {
  readonly bytes: Buffer;

  /** `bytes`: at least the 64-byte header; RangeError otherwise. The kernel shows an unprivileged reader only these 64. */
  constructor(bytes: Buffer) {
    if (bytes.length < FIRST_CAPABILITY)
      throw new RangeError(`a configuration space of ${bytes.length} bytes has no header`);
    this.bytes = bytes;
  }

  get vendorId(): number {
    return this.bytes.readUInt16LE(PCI_VENDOR_ID);
  }

  get deviceId(): number {
    return this.bytes.readUInt16LE(PCI_DEVICE_ID);
  }

  get revision(): number {
    return this.bytes.readUInt8(PCI_REVISION_ID);
  }

  get command(): number {
    return this.bytes.readUInt16LE(PCI_COMMAND);
  }

  /** Command bit 1: the device answers to its memory BARs (PCI 3.0 §6.2.2). */
  get memorySpace(): boolean {
    return (this.command & PCI_COMMAND_MEMORY) !== 0;
  }

  /** Command bit 2: the device may write to memory, which MSI-X messages are (PCI 3.0 §6.2.2). */
  get busMaster(): boolean {
    return (this.command & PCI_COMMAND_MASTER) !== 0;
  }

  /** True for a PCI-to-PCI bridge (header type 1). */
  get bridge(): boolean {
    return (this.bytes.readUInt8(PCI_HEADER_TYPE) & 0x7f) === 1;
  }

  /** Whether the part that holds capabilities was readable: the kernel hides it from unprivileged readers of sysfs. */
  get hasCapabilityArea(): boolean {
    return this.bytes.length >= CONVENTIONAL_SIZE;
  }

  /**
   * Walks the capability list (PCI 3.0 §6.7). Ends quietly at a loop, at a pointer into the header and at the end of
   * the bytes: the list is the device's word, not a promise.
   */
  capabilities(): Capability[] {
    const found: Capability[] = [];
    if ((this.bytes.readUInt16LE(PCI_STATUS) & PCI_STATUS_CAP_LIST) === 0) return found;
    const seen = new Set<number>();
    // The two low bits of every pointer are reserved (PCI 3.0 §6.7).
    let offset = this.bytes.readUInt8(PCI_CAPABILITY_LIST) & 0xfc;
    while (offset >= FIRST_CAPABILITY && offset + 2 <= this.bytes.length && !seen.has(offset)) {
      if (found.length >= MAX_CAPABILITIES) break;
      seen.add(offset);
      found.push({ id: this.bytes.readUInt8(offset), offset });
      offset = this.bytes.readUInt8(offset + 1) & 0xfc;
    }
    return found;
  }

  /** The first capability of that id. */
  findCapability(id: number): Capability | undefined {
    return this.capabilities().find((capability) => capability.id === id);
  }
}
