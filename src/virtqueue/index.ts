/** The VIRTIO 1.3 packed virtqueue: two roles, one layout, no opinion on how to notify. */
export { DescriptorChain } from './chain.ts';
export { DeviceQueue, type DeviceQueueOptions, TAKEN, TAKEN_NONE, TAKEN_OTHER } from './device-queue.ts';
export { DriverQueue, type DriverQueueOptions, type Segment, type UsedBuffer } from './driver-queue.ts';
export * from './layout.ts';
