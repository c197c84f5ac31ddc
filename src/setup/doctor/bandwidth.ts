import { closeSync, existsSync, openSync } from 'node:fs';
import { PAGE_BYTES } from '../../memory/layout.ts';
import type { PciFunction } from '../../pci/sysfs.ts';
import { enableMemory } from '../region-peek.ts';
import type { MemoryBandwidth } from './finding.ts';

/**
 * Bytes of page 0 that may be overwritten while others use the region: the layout puts nothing behind word 33 of the
 * header page (docs/shared-memory.md, "Header").
 */
export const SCRATCH_OFFSET = PAGE_BYTES / 2;
export const SCRATCH_BYTES = PAGE_BYTES / 2;
/** Read at most this much: more than a second-level cache holds tells memory apart from caches. */
const READ_BYTES = 4 << 20;
/** Uncached memory moves about 10 bytes per microsecond: small pieces, so that the clock is looked at in time. */
const PIECE_BYTES = 2048;
const BUDGET_NS = 40_000_000n;

/** MB/s of copying out of `memory` and into its scratch bytes, each for at most 40 ms. */
export function measureMemory(
  memory: Uint8Array,
  mapping: MemoryBandwidth['mapping'],
  clock: () => bigint = process.hrtime.bigint,
): MemoryBandwidth {
  const piece = new Uint8Array(PIECE_BYTES);
  const length = Math.min(memory.length, READ_BYTES) - PIECE_BYTES;
  let position = 0;
  const readMBps = rate(clock, () => {
    piece.set(memory.subarray(position, position + PIECE_BYTES));
    position = position + PIECE_BYTES > length ? 0 : position + PIECE_BYTES;
  });
  const scratch = memory.subarray(SCRATCH_OFFSET, SCRATCH_OFFSET + SCRATCH_BYTES);
  const writeMBps = rate(clock, () => scratch.set(piece.subarray(0, SCRATCH_BYTES)));
  return { mapping, readMBps, writeMBps };
}

function rate(clock: () => bigint, copy: () => void): number {
  copy(); // First touch: page faults are not bandwidth.
  const start = clock();
  let pieces = 0;
  let elapsed = 0n;
  do {
    copy();
    pieces++;
    elapsed = clock() - start;
  } while (elapsed < BUDGET_NS);
  return Math.round((pieces * PIECE_BYTES * 1000) / Number(elapsed));
}

/** How BAR2 is reached; the live one maps sysfs files and opens the device through its VFIO group. */
export interface Reach {
  /** Maps the start of a file. */
  mapFile(path: string, length: number): Promise<MappedMemory>;
  /** The memory of the device opened through the driver it is bound to. */
  open(device: PciFunction): Promise<MappedMemory>;
}

export interface MappedMemory {
  readonly buffer: ArrayBuffer;
  close(): void;
}

/**
 * Measures private memory and the mappings of BAR2 that this user may make: those of sysfs (root, or the user of `bind
 * --user` under UIO), else the one VFIO gives to the user of the group. Throws the kernel's error when there is none.
 */
export async function measureDevice(
  device: PciFunction,
  reach: Reach = liveReach,
): Promise<MemoryBandwidth[]> {
  const length = Math.min(device.resources()[2]?.sizeBytes ?? 0, READ_BYTES);
  const results = [measureMemory(new Uint8Array(length), 'private')];
  const measure = (memory: MappedMemory, mapping: MemoryBandwidth['mapping']) => {
    try {
      results.push(measureMemory(new Uint8Array(memory.buffer, 0, length), mapping));
    } finally {
      memory.close();
    }
  };
  try {
    const disable = enableMemory(device);
    try {
      for (const mapping of ['resource2', 'resource2_wc'] as const) {
        const path = device.resourcePath(2, mapping === 'resource2_wc');
        if (existsSync(path)) measure(await reach.mapFile(path, length), mapping);
      }
    } finally {
      disable();
    }
  } catch (error) {
    // Sysfs is root's; and a kernel with IO_STRICT_DEVMEM keeps it from root, too, while a VFIO user has the BAR mapped.
    if (device.driver !== 'vfio-pci') throw error;
    measure(await reach.open(device), 'vfio');
  }
  return results;
}

const liveReach: Reach = {
  async mapFile(path, length) {
    // Loaded on demand: the other checks must work where the addon is absent.
    const { binding } = await import('../../native/binding.ts');
    const fd = openSync(path, 'r+');
    try {
      return binding.mapFile(fd, 0, length, true);
    } finally {
      closeSync(fd);
    }
  },
  async open(device) {
    const { openPciBackend } = await import('../../backend/probe.ts');
    const backend = openPciBackend(device);
    return { buffer: backend.memory.buffer, close: () => backend.close() };
  },
};
