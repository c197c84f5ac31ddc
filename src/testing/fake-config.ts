import type { FakeFunction } from './fake-sysfs.ts';

const MSIX_OFFSET = 0x40;

/** 256 bytes of configuration space as QEMU's ivshmem device shows them (PCI 3.0 §6.1; MSI-X at 0x40, table in BAR1). */
export function configBytes(description: FakeFunction): Buffer {
  const { vendorId = 0x1af4, deviceId = 0x1110, revision = 1, vectors = 2 } = description;
  const bytes = Buffer.alloc(256);
  bytes.writeUInt16LE(vendorId, 0);
  bytes.writeUInt16LE(deviceId, 2);
  bytes.writeUInt8(revision, 8);
  bytes.writeUInt16LE(0x0500, 10);
  if (vectors === 0) return bytes;
  bytes.writeUInt16LE(0x10, 6); // Status: capability list
  bytes.writeUInt8(MSIX_OFFSET, 0x34);
  bytes.writeUInt8(0x11, MSIX_OFFSET);
  bytes.writeUInt16LE(vectors - 1, MSIX_OFFSET + 2);
  bytes.writeUInt32LE(0x001, MSIX_OFFSET + 4); // table: BAR1, offset 0
  bytes.writeUInt32LE(0x801, MSIX_OFFSET + 8); // pending bits: BAR1, offset 0x800
  return bytes;
}
