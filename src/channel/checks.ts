import { IvshmemError } from '../errors/index.ts';
import { MAX_QUEUE_SIZE, MIN_QUEUE_SIZE, PAGE_BYTES } from '../memory/layout.ts';
import { isName } from '../memory/names.ts';

/** Refuses a name that the layout has no room for. */
export function checkName(name: string, what: string, bytes: number): void {
  if (!isName(name, bytes))
    throw new IvshmemError('ERR_IVSHMEM_NAME', { name: JSON.stringify(name), what, bytes });
}

/** Refuses a channel's shape before the server has to. */
export function checkShape(queueSize: number, dataBytes: number): void {
  const powerOfTwo = Number.isInteger(queueSize) && (queueSize & (queueSize - 1)) === 0;
  if (!powerOfTwo || queueSize < MIN_QUEUE_SIZE || queueSize > MAX_QUEUE_SIZE) {
    throw new IvshmemError('ERR_IVSHMEM_CHANNEL_OPTIONS', { why: `queueSize is ${queueSize}` });
  }
  if (
    !Number.isInteger(dataBytes) ||
    dataBytes < PAGE_BYTES ||
    dataBytes > 1 << 30 ||
    dataBytes % PAGE_BYTES !== 0
  ) {
    throw new IvshmemError('ERR_IVSHMEM_CHANNEL_OPTIONS', { why: `dataBytes is ${dataBytes}` });
  }
}
