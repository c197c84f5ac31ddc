import type { ChannelRecord } from '../channel/record.ts';
import type { MembershipEvent } from '../membership/changes.ts';
import type { Member } from '../membership/member.ts';
import {
  CHANNEL_STATISTICS,
  channelLayout,
  MEMBER_W,
  STATISTICS,
  type StatisticName,
} from '../memory/layout.ts';
import type { Carried, ChannelSample, EventReport, MemberReport } from './sample.ts';

/** What of a channel's place is needed to find its counters; checked against the region's bounds. */
export type ChannelPlace = Pick<ChannelRecord, 'offset' | 'queueSize' | 'dataBytes'>;

export function memberReport(member: Member): MemberReport {
  return { ...member, since: member.since.toISOString() };
}

/** An event as JSON has it. */
export function eventReport(event: MembershipEvent): EventReport {
  const { type, view, at, member } = event;
  const reason = event.type === 'leave' ? { reason: event.reason } : {};
  return { event: type, view, at: at.toISOString(), ...reason, member: memberReport(member) };
}

/**
 * The counters in a member block. Their owner writes them, and may write anything: each is only brought into the range of a
 * safe integer. `base`: word index of the block in the live `words`.
 */
export function statisticsOf(words: Int32Array, base: number): Record<StatisticName, number> {
  const copy = words.slice(base + MEMBER_W.statistics, base + MEMBER_W.statistics + 2 * STATISTICS.length);
  const entries = STATISTICS.map((name, index) => [name, count64(copy, 2 * index)] as const);
  return Object.fromEntries(entries) as Record<StatisticName, number>;
}

/** Whether the member in this block has answered the server's last pulse: its counters are as of then. */
export function hasAnswered(words: Int32Array, base: number): boolean {
  // Acquire: pairs with the member's release after its statistics.
  return Atomics.load(words, base + MEMBER_W.pulseAnswer) === Atomics.load(words, base + MEMBER_W.pulse);
}

/** What both directions of a channel have carried, as their senders wrote it last. */
export function carried(
  memory: ArrayBuffer,
  channel: ChannelPlace,
): readonly [forth: Carried, back: Carried] {
  const { directions } = channelLayout(channel.queueSize, channel.dataBytes);
  const [forth, back] = directions.map(({ driverEvent }) => {
    const copy = new Int32Array(memory, channel.offset + driverEvent + CHANNEL_STATISTICS, 4).slice();
    return { messages: count64(copy, 0), bytes: count64(copy, 2) };
  });
  return [forth!, back!];
}

export function channelOf(
  record: Pick<ChannelRecord, 'number' | 'generation' | 'connector' | 'listener' | 'closed'> & ChannelPlace,
  [forth, back]: readonly [Carried, Carried],
): ChannelSample {
  const { number, generation, connector, listener, closed, queueSize, dataBytes } = record;
  const memoryBytes = channelLayout(queueSize, dataBytes).bytes;
  return {
    number,
    generation: generation >>> 0,
    connector,
    listener,
    memoryBytes,
    ended: closed !== 0,
    forth,
    back,
  };
}

/** Low word, high word, from a private copy. */
function count64(words: Int32Array, at: number): number {
  return Math.min((words[at]! >>> 0) + (words[at + 1]! >>> 0) * 2 ** 32, Number.MAX_SAFE_INTEGER);
}
