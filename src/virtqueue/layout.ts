/** Packed virtqueue ABI, VIRTIO 1.3 §2.8. The same numbers stand in native/ring/layout.h; a test compares them. */

/** §2.8.13: struct pvirtq_desc { le64 addr; le32 len; le16 id; le16 flags; } */
export const DESCRIPTOR_BYTES = 16;
export const DESCRIPTOR_WORDS = 4;

/** §2.8.6: the buffer continues in the next descriptor. */
export const VIRTQ_DESC_F_NEXT = 1;
/** §2.8.3: the device writes this element; otherwise it reads it. */
export const VIRTQ_DESC_F_WRITE = 2;
/** §2.8.7: the element is a table of descriptors. */
export const VIRTQ_DESC_F_INDIRECT = 4;
/** §2.8.1: bit positions 7 and 15, compared with the wrap counters. */
export const VIRTQ_DESC_F_AVAIL = 1 << 7;
export const VIRTQ_DESC_F_USED = 1 << 15;

/** §2.8.14: struct pvirtq_event_suppress { le16 desc; le16 flags; }, read and written here as one word. */
export const EVENT_BYTES = 4;
export const RING_EVENT_FLAGS_ENABLE = 0;
export const RING_EVENT_FLAGS_DISABLE = 1;
export const RING_EVENT_FLAGS_DESC = 2;

/** §2.8.10.1: at most 2^15 elements. */
export const MAX_QUEUE_SIZE = 32768;

/**
 * AVAIL and USED as they stand in the upper half of a descriptor's last word (§2.8.1), by running position: bit `size` of a
 * position is the inverted wrap counter.
 */
export function availableBits(position: number, size: number): number {
  return (position & size) === 0 ? VIRTQ_DESC_F_AVAIL << 16 : VIRTQ_DESC_F_USED << 16;
}
export function usedBits(position: number, size: number): number {
  return (position & size) === 0 ? AVAIL_USED_MASK : 0;
}
export const AVAIL_USED_MASK = (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED) << 16;

/** Where one virtqueue lies; byte offsets into `memory`. */
export interface QueuePlace {
  readonly memory: ArrayBuffer;
  /** Descriptors, a power of two. (VIRTIO allows any size for packed rings; we use powers of two so that a mask wraps.) */
  readonly size: number;
  readonly ring: number;
  readonly driverEvent: number;
  readonly deviceEvent: number;
}

/** Who may touch what: every buffer must lie in [start, end) of the address space that `addr` speaks about. */
export interface AddressBounds {
  readonly start: number;
  readonly end: number;
}
