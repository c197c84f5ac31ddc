import { IvshmemError } from '../errors/index.ts';
import { DESCRIPTOR_BYTES, EVENT_BYTES, MAX_QUEUE_SIZE, type QueuePlace } from './layout.ts';

/** Refuses a queue that does not fit its memory, so that no later access can leave it. */
export function checkPlace(place: QueuePlace): void {
  const { size, memory } = place;
  const refuse = (why: string): never => {
    throw new IvshmemError('ERR_IVSHMEM_QUEUE_SHAPE', { why });
  };
  if (!Number.isInteger(size) || size < 2 || size > MAX_QUEUE_SIZE || (size & (size - 1)) !== 0)
    refuse(`size ${size}`);
  const inside = (at: number, bytes: number, align: number): boolean =>
    Number.isSafeInteger(at) && at >= 0 && at % align === 0 && at + bytes <= memory.byteLength;
  if (!inside(place.ring, size * DESCRIPTOR_BYTES, DESCRIPTOR_BYTES)) refuse(`ring at ${place.ring}`);
  if (!inside(place.driverEvent, EVENT_BYTES, EVENT_BYTES)) refuse(`driver event at ${place.driverEvent}`);
  if (!inside(place.deviceEvent, EVENT_BYTES, EVENT_BYTES)) refuse(`device event at ${place.deviceEvent}`);
}
