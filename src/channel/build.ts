import { channelLayout } from '../memory/layout.ts';
import { DeviceQueue, DriverQueue } from '../virtqueue/index.ts';
import { Channel } from './channel.ts';
import type { ChannelHost } from './channel-host.ts';
import type { DataArea } from './message.ts';
import { Receiver } from './receiver.ts';
import type { ChannelRecord } from './record.ts';
import { Sender } from './sender.ts';

/** Puts a channel together from its record: the driver role of one direction, the device role of the other. */
export function buildChannel(
  memory: ArrayBuffer,
  record: ChannelRecord,
  side: 'connector' | 'listener',
  service: string,
  maxMessageBytes: number,
  host: ChannelHost,
): Channel {
  const { queueSize, dataBytes, offset, number } = record;
  const { directions } = channelLayout(queueSize, dataBytes);
  const [outgoing, incoming] = side === 'connector' ? directions : ([directions[1], directions[0]] as const);
  const place = (direction: (typeof directions)[0]) => ({
    memory,
    size: queueSize,
    ring: offset + direction.ring,
    driverEvent: offset + direction.driverEvent,
    deviceEvent: offset + direction.deviceEvent,
    inOrder: true,
  });
  const area = (start: number): DataArea => ({
    bytes: new Uint8Array(memory, start, dataBytes),
    words: new Int32Array(memory, start, dataBytes / 4),
  });
  const outStart = offset + outgoing.data;
  const inStart = offset + incoming.data;
  const notify = (): void => host.notifyPeer();
  const sender = new Sender(new DriverQueue(place(outgoing)), area(outStart), outStart, notify);
  const bounds = { start: inStart, end: inStart + dataBytes };
  const receiver = new Receiver(
    new DeviceQueue({ ...place(incoming), bounds }),
    area(inStart),
    inStart,
    maxMessageBytes,
    notify,
  );
  const peer = side === 'connector' ? record.listener : record.connector;
  return new Channel({ number, service, peer }, sender, receiver, host);
}
