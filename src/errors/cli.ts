import type { Entry } from './define.ts';

/** The command line itself. */
export const cliErrors = {
  ERR_IVSHMEM_CLI_USAGE: {
    attempted: 'understand the command line',
    why: '{why}',
    remedy: 'See `ivshmem --help`, or --help after a command.',
    kind: 'usage',
  },
  ERR_IVSHMEM_CLI_SYSTEM: {
    attempted: '{operation}',
    why: '{why}',
    remedy: 'Check the path or the address, that this user may use it, and that there is room.',
    kind: 'failure',
  },
} as const satisfies Record<string, Entry>;
