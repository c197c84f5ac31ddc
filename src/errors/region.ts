import type { Entry } from './define.ts';

/** What a member finds at the start of the shared memory (docs/shared-memory.md, "Header"). */
export const regionErrors = {
  ERR_IVSHMEM_REGION_MAGIC: {
    attempted: 'read the region header',
    why: 'the memory does not start with IVSHMEM1: found {found}',
    remedy: 'Serve the memory with `ivshmem server`; other ivshmem servers leave it empty.',
    kind: 'failure',
  },
  ERR_IVSHMEM_REGION_MAJOR: {
    attempted: 'read the region header',
    why: 'the region has layout version {found}, this package reads {expected}.x',
    remedy: 'Use the same major version of this package on the host and in every member.',
    kind: 'failure',
  },
  ERR_IVSHMEM_REGION_CHECKSUM: {
    attempted: 'read the region header',
    why: 'its checksum is {found}, its content has {expected}',
    remedy: 'Some member wrote over the header. Restart the server, which makes a fresh region.',
    kind: 'failure',
  },
  ERR_IVSHMEM_REGION_TRUNCATED: {
    attempted: 'read the region header',
    why: 'the header says {expected} bytes and {found} are mapped',
    remedy: 'Check the size of the BAR (`lspci -v`) and of the memory the server was given.',
    kind: 'failure',
  },
  ERR_IVSHMEM_REGION_GARBAGE: {
    attempted: 'read the region header',
    why: '{field} is {found}, which no server writes',
    remedy: 'Some member wrote over the header. Restart the server, which makes a fresh region.',
    kind: 'failure',
  },
  ERR_IVSHMEM_REGION_UNREADY: {
    attempted: 'read the region header',
    why: 'the server has not finished writing the region',
    remedy: 'Try again; if it stays so, look at the log of `ivshmem server`.',
    kind: 'failure',
  },
  ERR_IVSHMEM_DIRECTORY: {
    attempted: 'read the membership directory',
    why: '{why}',
    remedy: "Give the ivshmem-plain device or the file of this region's `directory` (docs/security.md).",
    kind: 'failure',
  },
} as const satisfies Record<string, Entry>;
