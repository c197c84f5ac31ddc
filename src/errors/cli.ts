import type { Entry } from './define.ts';

/** The command line itself. */
export const cliErrors = {
  ERR_IVSHMEM_CLI_OPTION: {
    attempted: 'use {option}',
    why: '"{value}" is not allowed',
    remedy: 'It takes {allowed}.',
    kind: 'usage',
  },
  ERR_IVSHMEM_CLI_CONFLICT: {
    attempted: 'use {one} together with {other}',
    why: 'they exclude each other',
    remedy: 'Leave one out; see --help.',
    kind: 'usage',
  },
} as const satisfies Record<string, Entry>;
