/** Drivers for QEMU's virtio-pci devices, written on `ivshmem/vfio` and the packed virtqueue. docs/vfio.md is the walk-through. */
export { VirtioBlk, type VirtioBlkOptions } from './blk.ts';
export { type VirtioNeeds, type VirtioOpenOptions, VirtioPciDevice } from './device.ts';
export type { Features } from './features.ts';
export { FEATURE } from './layout.ts';
export { VirtioQueue } from './queue.ts';
export { VirtioRng } from './rng.ts';
export { type QueueAddresses, VirtioPciTransport } from './transport.ts';
