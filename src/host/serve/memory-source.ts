import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  openSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { IvshmemError } from '../../errors/index.ts';
import { directoryBytes } from '../../memory/directory.ts';
import { binding, type Mapping } from '../../native/binding.ts';
import type { RegionConfig } from '../config/schema.ts';

/** The memory of a region: the descriptor that clients are sent, and the server's own mapping of it. */
export interface RegionMemory {
  readonly fd: number;
  readonly mapping: Mapping;
  /** Releases both, and removes the file. Members keep what they mapped. */
  close(): void;
  /** Releases both; another server goes on with the memory. */
  leave(): void;
}

const HINTS = {
  memfd: 'Check that the machine has this much memory free.',
  hugepages:
    'Reserve 2 MiB pages first: `sysctl vm.nr_hugepages=N`, N being the size of the region in 2 MiB.',
  file: 'Give a path on a tmpfs with this much room that this user may write, normally below /dev/shm.',
} as const;

/** Gets fresh, zeroed memory. Throws ERR_IVSHMEM_SERVER_MEMORY; nothing is left behind then. */
export function openMemory(config: RegionConfig, mode = 0o600): RegionMemory {
  let fd = -1;
  try {
    fd = config.memory === 'file' ? createFile(config.file!, config.size, mode) : createMemfd(config);
    return mapped(config, fd);
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

/** The file of a region's directory: everybody may read it, only the server writes it. Throws ERR_IVSHMEM_SERVER_MEMORY. */
export function openDirectory(config: RegionConfig): RegionMemory | null {
  const { directory, name, slots } = config;
  if (directory === undefined) return null;
  return openMemory({ ...config, size: directoryBytes(slots), memory: 'file', file: directory, name }, 0o644);
}

/** The directory that an earlier server made. */
export function adoptDirectory(config: RegionConfig, fd: number): RegionMemory {
  return adoptMemory({ ...config, size: directoryBytes(config.slots), file: config.directory }, fd);
}

/** Memory that an earlier server got, with all that is in it. Throws ERR_IVSHMEM_SERVER_STATE; `fd` stays the caller's then. */
export function adoptMemory(config: RegionConfig, fd: number): RegionMemory {
  const refuse = (why: string, cause?: unknown): never => {
    throw new IvshmemError('ERR_IVSHMEM_SERVER_STATE', { on: config.name, why }, { cause });
  };
  const { size } = fstatSync(fd);
  if (size !== config.size) refuse(`its memory has ${size} bytes, and the configuration says ${config.size}`);
  try {
    return mapped(config, fd);
  } catch (cause) {
    return refuse(`its memory cannot be mapped: ${(cause as Error).message}`, cause);
  }
}

function mapped(config: RegionConfig, fd: number): RegionMemory {
  const mapping = binding.mapFile(fd, 0, config.size, true);
  return {
    fd,
    mapping,
    leave: () => {
      mapping.close();
      closeSync(fd);
    },
    close: () => {
      mapping.close();
      closeSync(fd);
      if (config.file !== undefined) rmSync(config.file, { force: true });
    },
  };
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
function createFile(path: string, bytes: number, mode: number): number {
  const { bavail, bsize } = statfsSync(dirname(path));
  rmSync(path, { force: true });
  if (bavail * bsize < bytes) throw new Error(`only ${bavail * bsize} bytes are free in ${dirname(path)}`);
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const fd = openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    fchmodSync(fd, mode);
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
