import type { Entry } from './define.ts';

/** Spaces across hosts: configuration, identity and directory of a server that has other hosts. */
export const hostsErrors = {
  ERR_IVSHMEM_HOSTS_IDENTITY: {
    attempted: 'use the {what} at {on} for this host',
    why: '{why}',
    remedy:
      'Give a PEM certificate for the name of this host (as a DNS subjectAltName), its key, and the authority that all hosts believe; docs/hosts.md shows how to make them.',
    kind: 'usage',
  },
  ERR_IVSHMEM_HOSTS_STATE: {
    attempted: 'use {on}, where this host keeps what it must not forget',
    why: '{why}',
    remedy:
      'Check the path, its permissions and the disk. A file that is lost or older than what the host last promised can make two majorities: give the host a new name in the lists of all hosts instead.',
    kind: 'failure',
  },
  ERR_IVSHMEM_HOSTS_ETCD: {
    attempted: 'ask etcd at {on}',
    why: '{why}',
    remedy:
      'Check that etcd 3.4 or later runs there and that this host may speak to it (`etcdctl endpoint health`).',
    kind: 'failure',
  },
  ERR_IVSHMEM_HOSTS_ADDRESS: {
    attempted: 'listen for other hosts at {on}',
    why: '{why}',
    remedy: 'Give `listen` in [hosts] an address of this machine and a port that is free.',
    kind: 'failure',
  },
} as const satisfies Record<string, Entry>;
