import { IvshmemError } from '../errors/index.ts';
import {
  BLK_CONFIG,
  SECTOR_BYTES,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_SIZE_MAX,
} from './blk-layout.ts';
import { BlkRequest } from './blk-request.ts';
import type { VirtioPciDevice } from './device.ts';
import { FEATURE } from './layout.ts';

const DATA_BYTES = 64 * 1024;

export interface BlkShape {
  /** Sectors. */
  readonly capacity: number;
  readonly readOnly: boolean;
  /** Longest data segment, bytes. */
  readonly sizeMax: number;
  /** Data per request, bytes; whole sectors. */
  readonly dataBytes: number;
  /** Descriptors of the ring that a request takes at most. */
  readonly descriptors: number;
}

/** Reads what the disk is and how large a request to it may be (VIRTIO 1.3 §5.2.4). ERR_IVSHMEM_VIRTIO_DEVICE if it makes no sense. */
export function readBlkShape(device: VirtioPciDevice): BlkShape {
  const { features, on } = device;
  const config = device.transport.readDeviceConfig(BLK_CONFIG.bytes, (registers) => ({
    capacity: registers.read32(BLK_CONFIG.capacity) + registers.read32(BLK_CONFIG.capacity + 4) * 2 ** 32,
    sizeMax: registers.read32(BLK_CONFIG.sizeMax),
    segMax: registers.read32(BLK_CONFIG.segMax),
  }));
  if (config === undefined)
    throw new IvshmemError('ERR_IVSHMEM_VIRTIO_DEVICE', { on, why: 'it has no block configuration' });
  const { capacity } = config;
  if (!Number.isSafeInteger(capacity * SECTOR_BYTES))
    throw new IvshmemError('ERR_IVSHMEM_VIRTIO_DEVICE', { on, why: `its capacity is ${capacity} sectors` });

  const sizeMax = features.has(VIRTIO_BLK_F_SIZE_MAX) ? config.sizeMax : DATA_BYTES;
  // seg_max counts the data segments of a request; without the feature one is allowed. With header and status they make a
  // chain, which must not be longer than the queue, not even in an indirect table (§2.8.7.1).
  const segMax = features.has(VIRTIO_BLK_F_SEG_MAX) ? Math.max(1, config.segMax) : 1;
  const indirect = features.has(FEATURE.VIRTIO_F_INDIRECT_DESC);
  const room = Math.min(segMax, device.queue.addresses.size - 2);
  const dataBytes = Math.min(DATA_BYTES, BlkRequest.dataLimit(sizeMax, room));
  if (!(dataBytes > 0))
    throw new IvshmemError('ERR_IVSHMEM_VIRTIO_DEVICE', {
      on,
      why: `its queue and segments of ${sizeMax} bytes hold no sector`,
    });
  const descriptors = indirect ? 1 : 2 + Math.ceil(dataBytes / sizeMax);
  return { capacity, readOnly: features.has(VIRTIO_BLK_F_RO), sizeMax, dataBytes, descriptors };
}
