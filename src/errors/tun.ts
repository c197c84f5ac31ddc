import type { Entry } from './define.ts';

/** The IP interface over shared memory. */
export const tunErrors = {
  ERR_IVSHMEM_TUN_OPEN: {
    attempted: 'make the TUN device {name}',
    why: '{why}',
    remedy:
      'It takes root (CAP_NET_ADMIN), /dev/net/tun (`modprobe tun`), and a name that no other interface has.',
    kind: 'failure',
  },
  ERR_IVSHMEM_TUN_ADDRESS: {
    attempted: 'use the addresses {addresses}',
    why: '{why}',
    remedy:
      'Give one IPv4 address, one IPv6 address, or one of each, with the prefix of the network that peers are in: 10.77.0.1/24.',
    kind: 'usage',
  },
  ERR_IVSHMEM_TUN_OPTIONS: {
    attempted: 'make a TUN device',
    why: '{why}',
    remedy: 'mtu is 1280 to 65535 bytes, queues 1 to 16, dataBytes a multiple of 4096 from 131072 on.',
    kind: 'usage',
  },
  ERR_IVSHMEM_TUN_COMMAND: {
    attempted: 'set up the interface {name}',
    why: '`ip {command}` failed: {why}',
    remedy: 'It takes the `ip` of iproute2 and root (CAP_NET_ADMIN).',
    kind: 'failure',
  },
  ERR_IVSHMEM_TUN_DOORBELL: {
    attempted: 'use {on} for an IP interface',
    why: '{why}',
    remedy:
      'Serve the region with at least {vectors} vectors per member (`ivshmem server --vectors {vectors}`), or use fewer queues.',
    kind: 'failure',
  },
  ERR_IVSHMEM_TUN_FAILED: {
    attempted: 'use the interface {name}',
    why: 'the kernel took it away (errno {errno})',
    remedy: 'Somebody deleted the interface or its network namespace; start again.',
    kind: 'failure',
  },
} as const satisfies Record<string, Entry>;
