/** The register file of an ivshmem device, revision 1 (ivshmem spec, "PCI device registers"): byte offsets into BAR0. */
export const INTR_MASK = 0x00;
export const INTR_STATUS = 0x04;
/** Read-only: this peer's ID. */
export const IV_POSITION = 0x08;
/** Write-only: peer ID in bits 31..16, vector in bits 15..0. */
export const DOORBELL = 0x0c;

/** The BARs by what they hold; BAR1 is the MSI-X table. */
export const REGISTER_BAR = 0;
export const MEMORY_BAR = 2;

/** The value of a Doorbell write. Peer IDs and vectors have 16 bits each; QEMU masks the vector to 8 (ivshmem_io_write). */
export function doorbellValue(peer: number, vector: number): number {
  return ((peer << 16) | (vector & 0xffff)) >>> 0;
}

const scratch = new Int32Array(new SharedArrayBuffer(4));

/**
 * A full fence: stores to shared memory before it are visible before a doorbell store after it. Pairs with the fence of
 * the member that wakes up (docs/shared-memory.md, "Notifying a member").
 *
 * x86: stores leave in program order and a store to uncached memory drains write-combining buffers first (Intel SDM
 * vol. 3, 12.3.1), so the locked instruction this compiles to only makes explicit what BAR0 would do. arm64: normal and
 * device memory are not ordered with each other by plain stores; an atomic with acquire and release is a full barrier
 * (Arm ARM B2.3.11). It must not be an Atomics store to the register itself: on x86 that is an XCHG, a load and a store of
 * a write-only register.
 */
export function fence(): void {
  Atomics.exchange(scratch, 0, 0);
}
