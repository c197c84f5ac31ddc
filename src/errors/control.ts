import type { Entry } from './define.ts';

/** The control socket of a region, and what is built on it. */
export const controlErrors = {
  ERR_IVSHMEM_CONTROL_REQUEST: {
    attempted: 'answer a request on the control socket',
    why: '{why}',
    remedy: 'Send one JSON object per line; docs/server.md lists the requests.',
    kind: 'usage',
  },
  ERR_IVSHMEM_CONTROL_CONNECT: {
    attempted: 'ask the ivshmem server at {on}',
    why: '{why}',
    remedy:
      "Check that `ivshmem server` runs, as this user or asked as root, and give the region's socket with --socket or IVSHMEM_SOCKET.",
    kind: 'failure',
  },
  ERR_IVSHMEM_CONTROL_ANSWER: {
    attempted: 'ask the ivshmem server at {on}',
    why: '{why}',
    remedy: "See the server's log; its version and this one may differ.",
    kind: 'failure',
  },
  ERR_IVSHMEM_NO_MEMBER: {
    attempted: 'find member {member}',
    why: 'none has this name or slot',
    remedy: '`ivshmem members` lists who is there.',
    kind: 'failure',
  },
  ERR_IVSHMEM_SERVER_METRICS: {
    attempted: 'serve metrics on {on}',
    why: '{why}',
    remedy:
      'Give an address of this machine and a free port, or the path of a UNIX socket that this user may make.',
    kind: 'failure',
  },
  ERR_IVSHMEM_MEMBERS_HIDDEN: {
    attempted: 'see the members through {on}',
    why: '{why}',
    remedy: '{hint}',
    kind: 'failure',
  },
  ERR_IVSHMEM_CLI_TERMINAL: {
    attempted: 'draw a live view',
    why: 'the output is no terminal',
    remedy: 'Run it in a terminal, or take one picture with `ivshmem top --once`, for programs with --json.',
    kind: 'usage',
  },
} as const satisfies Record<string, Entry>;
