import { type Traffic, write64 } from '../membership/index.ts';
import { CHANNEL_STATISTICS, channelLayout, type SocketCounts } from '../memory/layout.ts';
import type { ChannelTraffic } from './channel.ts';
import type { ChannelRecord } from './record.ts';

/** A channel as it is counted. */
export interface Tallied {
  readonly channel: { traffic(): ChannelTraffic };
  readonly record: ChannelRecord;
  readonly side: 'connector' | 'listener';
}

/** What a member carried in its life: the channels that are gone in sums, the others counted when somebody asks. */
export class Tally {
  channelsOpened = 0;
  channelsEnded = 0;
  /** Counted by who makes sockets of channels. */
  readonly sockets: SocketCounts = {
    socketsOpened: 0,
    socketsClosed: 0,
    socketsToSharedMemory: 0,
    socketsToTcp: 0,
  };
  readonly #gone = { messagesSent: 0, bytesSent: 0, messagesReceived: 0, bytesReceived: 0 };

  /** A channel is done. */
  add(channel: { traffic(): ChannelTraffic }): void {
    addTo(this.#gone, channel.traffic());
  }

  /** The sums of now; what each channel sent also goes into its own memory, beside the driver event suppression structure. */
  all(memory: ArrayBuffer, channels: Iterable<Tallied>): Traffic {
    const sum = { ...this.#gone };
    for (const { channel, record, side } of channels) {
      const traffic = channel.traffic();
      addTo(sum, traffic);
      const direction = channelLayout(record.queueSize, record.dataBytes).directions[
        side === 'connector' ? 0 : 1
      ];
      const at = record.offset + direction.driverEvent + CHANNEL_STATISTICS;
      const words = new Int32Array(memory, at, 4);
      write64(words, 0, traffic.messagesSent);
      write64(words, 2, traffic.bytesSent);
    }
    const { channelsOpened, channelsEnded } = this;
    return { ...sum, channelsOpened, channelsEnded, ...this.sockets };
  }
}

function addTo(sum: { -readonly [K in keyof ChannelTraffic]: number }, more: ChannelTraffic): void {
  for (const key of Object.keys(sum) as (keyof ChannelTraffic)[]) sum[key] += more[key];
}
