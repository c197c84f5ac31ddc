import type { DataArea } from '../../src/channel/message.ts';
import { Receiver } from '../../src/channel/receiver.ts';
import { Sender } from '../../src/channel/sender.ts';
import { queuePair } from './queue.ts';

/** Both halves of one direction of a channel in one process; `rings` counts the notifications of each. */
export function messagePair(size: number, dataBytes = 4096, maxMessageBytes = 1 << 20) {
  const queue = queuePair(size, { dataBytes });
  const area: DataArea = {
    bytes: new Uint8Array(queue.memory, queue.dataStart, dataBytes),
    words: new Int32Array(queue.memory, queue.dataStart, dataBytes / 4),
  };
  const rings = { available: 0, used: 0 };
  const sender = new Sender(queue.driver, area, queue.dataStart, () => rings.available++);
  const receiver = new Receiver(queue.device, area, queue.dataStart, maxMessageBytes, () => rings.used++);
  return { queue, sender, receiver, rings, area };
}
