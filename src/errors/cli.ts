import type { Entry } from './define.ts';

/** The command line itself. */
export const cliErrors = {
  ERR_IVSHMEM_CLI_USAGE: {
    attempted: 'understand the command line',
    why: '{why}',
    remedy: 'See `ivshmem --help`, or --help after a command.',
    kind: 'usage',
  },
} as const satisfies Record<string, Entry>;
