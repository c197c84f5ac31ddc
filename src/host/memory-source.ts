import { closeSync, constants, ftruncateSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { IvshmemError } from '../errors/index.ts';
import { binding, type Mapping } from '../native/binding.ts';
import type { RegionConfig } from './schema.ts';

/** The memory of a region: the descriptor that clients are sent, and the server's own mapping of it. */
export interface RegionMemory {
  readonly fd: number;
  readonly mapping: Mapping;
  /** Releases both, and removes the file. Members keep what they mapped. */
  close(): void;
}

const HINTS = {
  memfd: 'Check that the machine has this much memory free.',
  hugepages:
    'Reserve 2 MiB pages first: `sysctl vm.nr_hugepages=N`, N being the size of the region in 2 MiB.',
  file: 'Give a path on a tmpfs with this much room that this user may write, normally below /dev/shm.',
} as const;

/** Gets fresh, zeroed memory. Throws ERR_IVSHMEM_SERVER_MEMORY; nothing is left behind then. */
export function openMemory(config: RegionConfig): RegionMemory {
  let fd = -1;
  try {
    fd = config.memory === 'file' ? createFile(config.file!, config.size) : createMemfd(config);
    const mapping = binding.mapFile(fd, 0, config.size, true);
    return {
      fd,
      mapping,
      close: () => {
        mapping.close();
        closeSync(fd);
        if (config.file !== undefined) rmSync(config.file, { force: true });
      },
    };
  } catch (cause) {
    if (fd >= 0) {
      closeSync(fd);
      if (config.file !== undefined) rmSync(config.file, { force: true });
    }
    throw new IvshmemError(
      'ERR_IVSHMEM_SERVER_MEMORY',
      {
        bytes: config.size,
        kind: config.memory,
        on: config.name,
        why: (cause as Error).message,
        hint: HINTS[config.memory],
      },
      { cause },
    );
  }
}

/** Sealed against shrinking: a member that could truncate the file would kill everybody else with SIGBUS. */
function createMemfd(config: RegionConfig): number {
  return binding.createMemfd(`ivshmem-${config.name}`, config.size, true, config.memory === 'hugepages');
}

/**
 * A new file in the place of what an earlier server left. The old file is unlinked rather than formatted again: VMs of
 * the earlier server still have it mapped and must not meet the members of this one.
 * Every page is written once, for a tmpfs that fills up later answers a first touch with SIGBUS.
 */
function createFile(path: string, bytes: number): number {
  const { bavail, bsize } = statfsSync(dirname(path));
  rmSync(path, { force: true });
  if (bavail * bsize < bytes) throw new Error(`only ${bavail * bsize} bytes are free in ${dirname(path)}`);
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const fd = openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    ftruncateSync(fd, bytes);
    const zeroes = new Uint8Array(1 << 20);
    for (let at = 0; at < bytes; ) at += writeSync(fd, zeroes, 0, Math.min(zeroes.length, bytes - at), at);
    return fd;
  } catch (error) {
    closeSync(fd);
    rmSync(path, { force: true });
    throw error;
  }
}
