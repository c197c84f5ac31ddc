import type { Entry } from './define.ts';

/** Live migration, and QEMU's machine protocol. */
export const migrateErrors = {
  ERR_IVSHMEM_QMP_CONNECT: {
    attempted: 'talk to the QEMU at {on}',
    why: '{why}',
    remedy:
      'Give a QMP socket of a running QEMU (`-qmp unix:PATH,server=on,wait=off`) that no other program is connected to, as a user who may use it.',
    kind: 'failure',
  },
  ERR_IVSHMEM_QMP_COMMAND: {
    attempted: 'have the QEMU at {on} do {command}',
    why: '{why}',
    remedy: "QEMU's manual of QMP says what the command takes and when; its log may say more.",
    kind: 'failure',
  },
  ERR_IVSHMEM_MIGRATE_CHECK: {
    attempted: 'migrate the VM with {device}',
    why: '{why}',
    remedy: '{hint} Nothing was changed.',
    kind: 'failure',
  },
  ERR_IVSHMEM_MIGRATE_UNPLUG: {
    attempted: 'unplug {device} at the source',
    why: '{why}',
    remedy:
      'The VM stays where it is. Its guest has to run and to know PCI hot-plug; a program in it that keeps the device open must let go of it.',
    kind: 'failure',
  },
  ERR_IVSHMEM_MIGRATE_FAILED: {
    attempted: 'migrate the VM to {to}',
    why: '{why}',
    remedy:
      'The VM goes on at the source, its devices plugged in again. Start the destination anew (`-incoming`) before the next attempt.',
    kind: 'failure',
  },
  ERR_IVSHMEM_MIGRATE_RETURN: {
    attempted: 'bring the VM back into its state before the migration to {to}',
    why: '{why}',
    remedy:
      'Its connections are on TCP. At the source: `cont` if it is paused, chardev-add and device_add for {device}.',
    kind: 'failure',
  },
  ERR_IVSHMEM_MIGRATE_PLUG: {
    attempted: 'plug {device} in at the destination',
    why: '{why}',
    remedy:
      'The VM runs at the destination, with its connections on TCP. See that a server listens on {socket} there and admits QEMU, then use chardev-add and device_add.',
    kind: 'failure',
  },
} as const satisfies Record<string, Entry>;
