import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { HEADER_W, LAYOUT_MAJOR, MAGIC_0, MAGIC_1, PAGE_BYTES, REGION_NAME_BYTES } from '../memory/layout.ts';
import { PCI_COMMAND, PCI_COMMAND_MEMORY } from '../pci/config-space.ts';
import type { PciFunction } from '../pci/sysfs.ts';

/** What the header of a device's region says, or why it cannot be read. */
export type RegionPeek = { readonly name: string } | { readonly why: string };

/** Copies the first page of a file that can only be mapped, such as a BAR. */
export type ReadPage = (path: string) => Promise<Uint8Array>;

/**
 * Reads the name of the region behind BAR2 without opening the device: memory space is enabled first. Never throws;
 * an absent or foreign header, missing rights and a VFIO user that keeps the BAR to itself are all answers.
 */
export async function peekRegion(device: PciFunction, readPage: ReadPage = mapPage): Promise<RegionPeek> {
  const size = device.resources()[2]?.sizeBytes ?? 0;
  if (size < PAGE_BYTES) return { why: 'the device has no memory in BAR2' };
  let disable = () => {};
  try {
    disable = enableMemory(device);
    return parseRegionName(await readPage(device.resourcePath(2)));
  } catch (error) {
    return { why: (error as Error).message };
  } finally {
    disable();
  }
}

/** The name out of a copy of a region's first page (docs/shared-memory.md, "Header"); nothing in it is trusted. */
export function parseRegionName(page: Uint8Array): RegionPeek {
  const view = Buffer.from(page.buffer, page.byteOffset, page.byteLength);
  if (view.length < PAGE_BYTES) return { why: 'the memory is smaller than a page' };
  const word = (index: number) => view.readUInt32LE(index * 4);
  if (word(HEADER_W.magic0) !== MAGIC_0 || word(HEADER_W.magic1) !== MAGIC_1) {
    return { why: 'the memory holds no region of the ivshmem server' };
  }
  const major = word(HEADER_W.version) >>> 16;
  if (major !== LAYOUT_MAJOR) return { why: `the region has layout version ${major}` };
  if (word(HEADER_W.checksum) !== crc32(view.subarray(0, HEADER_W.checksum * 4))) {
    return { why: "the region's header is damaged" };
  }
  const start = HEADER_W.name * 4;
  const name = view.subarray(start, start + REGION_NAME_BYTES);
  const end = name.indexOf(0);
  return { name: name.toString('utf8', 0, end < 0 ? name.length : end) };
}

/**
 * Makes the BARs answer. Without a driver through the counted `enable` attribute, taken back by the returned function.
 * Under a driver that attribute is refused; then Command.MemorySpace is set directly and stays, because whoever opens
 * the device meanwhile relies on it.
 */
export function enableMemory(device: PciFunction): () => void {
  if (device.driver === undefined) {
    device.setEnabled(true);
    return () => device.setEnabled(false);
  }
  const { command, memorySpace } = device.config();
  if (!memorySpace) {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16LE(command | PCI_COMMAND_MEMORY);
    const fd = openSync(device.configPath, constants.O_WRONLY);
    try {
      writeSync(fd, bytes, 0, bytes.length, PCI_COMMAND);
    } finally {
      closeSync(fd);
    }
  }
  return () => {};
}

async function mapPage(path: string): Promise<Uint8Array> {
  // Loaded on demand: the other commands must work where the addon is absent.
  const { binding } = await import('../native/binding.ts');
  const fd = openSync(path, 'r');
  try {
    const mapping = binding.mapFile(fd, 0, PAGE_BYTES, false);
    try {
      return Uint8Array.from(new Uint8Array(mapping.buffer));
    } finally {
      mapping.close();
    }
  } finally {
    closeSync(fd);
  }
}
