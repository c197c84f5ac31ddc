import type { Channel, Region } from '../channel/index.ts';
import { readRecord } from '../channel/record.ts';
import { IvshmemError } from '../errors/index.ts';
import { channelLayout } from '../memory/layout.ts';
import type { PacketChannel, PacketDirection } from '../native/binding.ts';

/** Where the two directions of a channel lie, from our side. ERR_IVSHMEM_CHANNEL_TABLE when its entry is not ours any more. */
export function placeOf(region: Region, channel: Channel): Pick<PacketChannel, 'outgoing' | 'incoming'> {
  const words = new Int32Array(region.device.memory);
  const record = readRecord(words, region.header, channel.number);
  const ends = record && [record.connector, record.listener];
  if (record === null || !ends?.includes(region.slot) || !ends.includes(channel.peer)) {
    const why = 'it is not the channel between these two any more';
    throw new IvshmemError('ERR_IVSHMEM_CHANNEL_TABLE', { on: channel.number, why });
  }
  const { queueSize, dataBytes, offset } = record;
  const [first, second] = channelLayout(queueSize, dataBytes).directions.map(
    (direction): PacketDirection => ({
      ring: offset + direction.ring,
      driverEvent: offset + direction.driverEvent,
      deviceEvent: offset + direction.deviceEvent,
      size: queueSize,
      data: offset + direction.data,
      dataBytes,
    }),
  ) as [PacketDirection, PacketDirection];
  return record.connector === region.slot
    ? { outgoing: first, incoming: second }
    : { outgoing: second, incoming: first };
}
