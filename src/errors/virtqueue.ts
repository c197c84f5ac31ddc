import type { Entry } from './define.ts';

/** The ring: what a hostile or broken other side can do to it, and wrong construction. */
export const virtqueueErrors = {
  ERR_IVSHMEM_QUEUE_BROKEN: {
    attempted: 'use the {role} side of a virtqueue',
    why: 'the other side broke the protocol: {why}',
    remedy:
      'The queue stays broken; close the channel and connect again, and look at who is on the other side.',
    kind: 'failure',
  },
  ERR_IVSHMEM_QUEUE_SHAPE: {
    attempted: 'create a virtqueue',
    why: '{why}',
    remedy:
      'Use a power of two from 2 to 32768 descriptors, areas aligned to 16 bytes that lie inside the memory.',
    kind: 'usage',
  },
  ERR_IVSHMEM_QUEUE_FULL: {
    attempted: 'add a buffer of {needed} descriptors to a virtqueue',
    why: 'only {free} are free',
    remedy: 'Look at `free` first, or wait until buffers come back.',
    kind: 'usage',
  },
} as const satisfies Record<string, Entry>;
