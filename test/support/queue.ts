import {
  DescriptorChain,
  DeviceQueue,
  DriverQueue,
  type QueuePlace,
  TAKEN,
  TAKEN_NONE,
} from '../../src/virtqueue/index.ts';

/** Both roles of one queue over one ArrayBuffer, with the raw words beside them. */
export interface QueuePair {
  readonly memory: ArrayBuffer;
  readonly words: Int32Array;
  readonly place: QueuePlace;
  readonly driver: DriverQueue;
  readonly device: DeviceQueue;
  readonly chain: DescriptorChain;
  /** Where the bytes that descriptors may name begin and end. */
  readonly dataStart: number;
  readonly dataEnd: number;
}

export interface QueuePairOptions {
  readonly inOrder?: boolean;
  readonly dataBytes?: number;
  /** Bytes before the ring and after the data that no one may touch. */
  readonly guard?: number;
  readonly memory?: ArrayBuffer;
}

export function placeOf(memory: ArrayBuffer, size: number, guard: number): QueuePlace {
  const ring = guard;
  return { memory, size, ring, driverEvent: ring + size * 16, deviceEvent: ring + size * 16 + 4 };
}

export function queuePair(size: number, options: QueuePairOptions = {}): QueuePair {
  const { inOrder = true, dataBytes = 4096, guard = 0 } = options;
  const dataStart = guard + size * 16 + 16;
  const dataEnd = dataStart + dataBytes;
  const memory = options.memory ?? new ArrayBuffer(dataEnd + guard);
  const place = placeOf(memory, size, guard);
  return {
    memory,
    words: new Int32Array(memory),
    place,
    driver: new DriverQueue({ ...place, inOrder }),
    device: new DeviceQueue({ ...place, inOrder, bounds: { start: dataStart, end: dataEnd } }),
    chain: new DescriptorChain(size),
    dataStart,
    dataEnd,
  };
}

/** The bytes of one descriptor as they lie in memory, in hexadecimal: addr, len, id, flags, little-endian (§2.8.13). */
export function descriptorBytes(queue: QueuePair, index: number): string {
  const at = queue.place.ring + index * 16;
  const hex = Buffer.from(queue.memory, at, 16).toString('hex');
  return [hex.slice(0, 16), hex.slice(16, 24), hex.slice(24, 28), hex.slice(28)].join(' ');
}

/** `take` by way of its hot path, as a receiver goes: what one readable descriptor gives is put into `chain` too. */
export function takeHot(device: DeviceQueue, chain: DescriptorChain): boolean {
  const taken = device.takeReadable();
  if (taken === TAKEN_NONE) return false;
  if (taken !== TAKEN) return device.take(chain);
  chain.id = device.takenId & 0x7fff;
  chain.tag = device.takenId >>> 15;
  chain.count = chain.descriptors = 1;
  chain.addr = chain.addrs[0] = device.takenAddr;
  chain.len = chain.lens[0] = device.takenLen;
  chain.writable[0] = 0;
  return true;
}

/** Writes one raw descriptor, as a side that follows no rules would. */
export function pokeDescriptor(
  queue: QueuePair,
  index: number,
  descriptor: { addr: number; len: number; id: number; flags: number },
): void {
  const view = new DataView(queue.memory, queue.place.ring + index * 16, 16);
  view.setBigUint64(0, BigInt(descriptor.addr), true);
  view.setUint32(8, descriptor.len, true);
  view.setUint16(12, descriptor.id, true);
  view.setUint16(14, descriptor.flags, true);
}
