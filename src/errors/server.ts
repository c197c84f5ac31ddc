import type { Entry } from './define.ts';

/** The ivshmem server, and a host process as its client. */
export const serverErrors = {
  ERR_IVSHMEM_SERVER_CONFIG: {
    attempted: 'use the server configuration {on}',
    why: '{why}',
    remedy: 'Correct it; docs/server.md lists every key, and `ivshmem server --check` tries a configuration.',
    kind: 'usage',
  },
  ERR_IVSHMEM_SERVER_CONFIG_FILE: {
    attempted: 'read the server configuration {on}',
    why: '{why}',
    remedy: 'Check the path given with --config and its permissions.',
    kind: 'usage',
  },
  ERR_IVSHMEM_SERVER_SOCKET_BUSY: {
    attempted: 'listen on {on}',
    why: 'another process listens there',
    remedy: 'Stop it (`ss -xlp` shows it), or give the region another socket.',
    kind: 'failure',
  },
  ERR_IVSHMEM_SERVER_SOCKET: {
    attempted: 'listen on {on}',
    why: '{why}',
    remedy:
      'Check that the folder exists and that this user may create files in it and set the mode and group.',
    kind: 'failure',
  },
  ERR_IVSHMEM_SERVER_MEMORY: {
    attempted: 'get {bytes} bytes of {kind} memory for region {on}',
    why: '{why}',
    remedy: '{hint}',
    kind: 'failure',
  },
  ERR_IVSHMEM_SERVER_FD_LIMIT: {
    attempted: 'make the eventfds of all slots',
    why: '{needed} file descriptors are needed and the limit is {limit}',
    remedy:
      'Use fewer slots or vectors, or raise the limit (`LimitNOFILE=` in the unit, `ulimit -n` in a shell).',
    kind: 'failure',
  },
  ERR_IVSHMEM_SERVER_ACTIVATION: {
    attempted: 'use the sockets passed by systemd',
    why: '{why}',
    remedy:
      'Name each with FileDescriptorName= in the socket unit as its region is named in the configuration.',
    kind: 'usage',
  },
  ERR_IVSHMEM_SERVER_STATE: {
    attempted: 'take up the region {on} where the last server left it',
    why: '{why}',
    remedy:
      'Start the server with the configuration and version it had, or stop it with its keeper (`systemctl stop`, or the supervisor) and start it again: that makes a fresh region, and its members must join again.',
    kind: 'failure',
  },
  ERR_IVSHMEM_SERVER_HANDOVER: {
    attempted: 'take over the region {on} from the running server',
    why: '{why}',
    remedy:
      'The running server goes on with the region. See what both log; they must be of one user, or this one of root.',
    kind: 'failure',
  },
  ERR_IVSHMEM_HOST_CONNECT: {
    attempted: 'connect to the ivshmem server at {on}',
    why: '{why}',
    remedy: 'Check that `ivshmem server` runs, and that this user may write to the socket.',
    kind: 'failure',
  },
  ERR_IVSHMEM_HOST_REFUSED: {
    attempted: 'join the region at {on}',
    why: 'the server refused: {why}',
    remedy: '{hint}',
    kind: 'failure',
  },
  ERR_IVSHMEM_HOST_VERSION: {
    attempted: 'join the region at {on}',
    why: 'the server speaks protocol version {found}, not 0',
    remedy: 'Use a server for the protocol of QEMU 2.5 and later.',
    kind: 'failure',
  },
  ERR_IVSHMEM_HOST_PROTOCOL: {
    attempted: 'join the region at {on}',
    why: 'that is no ivshmem server: {why}',
    remedy: 'Give the path of an ivshmem server socket.',
    kind: 'failure',
  },
  ERR_IVSHMEM_HOST_CLOSED: {
    attempted: 'join the region at {on}',
    why: 'the server closed the connection before the handshake was complete',
    remedy: 'Look at the log of the server; it may have been stopped.',
    kind: 'failure',
  },
  ERR_IVSHMEM_HOST_DEAF: {
    attempted: 'hear of further members of the region at {on}',
    why: '{why}',
    remedy:
      'Who is there already is rung as before; who comes from now on is not rung by this process. Open the region again. Where descriptors ran out, raise the limit first (`ulimit -n`, `LimitNOFILE=`).',
    kind: 'failure',
  },
  ERR_IVSHMEM_HOST_TIMEOUT: {
    attempted: 'join the region at {on}',
    why: 'the handshake was not complete after {seconds} s',
    remedy: 'Check that the process listening there is an ivshmem server and is not stopped.',
    kind: 'failure',
  },
} as const satisfies Record<string, Entry>;
