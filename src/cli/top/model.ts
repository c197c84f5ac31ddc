import type { StatisticName } from '../../memory/layout.ts';
import { socketsOf } from '../../metrics/definitions.ts';
import type { Carried, ChannelSample, MemberSample, RegionSample } from '../../observe/sample.ts';

/** What the view shows, as numbers: no terminal, no clock. Rates are per second; null when there is nothing to compare with. */
export interface TopModel {
  readonly region: string;
  readonly view: number;
  readonly slots: number;
  readonly channelEntries: number;
  /** How many members are in which state. */
  readonly states: Readonly<Record<MemberSample['state'], number>>;
  readonly heapBytes: number;
  readonly usedHeapBytes: number;
  readonly total: Rates;
  readonly members: readonly MemberRow[];
  readonly channels: readonly ChannelRow[];
}

export interface Rates {
  readonly messages: number | null;
  readonly bytes: number | null;
  readonly doorbells: number | null;
  readonly sleeps: number | null;
}

export interface MemberRow {
  readonly member: MemberSample;
  /** Open channels. */
  readonly channels: number;
  /** Sockets that are open, by path: what it says itself. */
  readonly sockets: { readonly sharedMemory: number; readonly tcp: number };
  readonly sent: Rates;
  /** Messages and bytes received. */
  readonly received: Pick<Rates, 'messages' | 'bytes'>;
}

export interface ChannelRow {
  readonly channel: ChannelSample;
  /** Names of the sides, or their slots. */
  readonly connector: string;
  readonly listener: string;
  readonly forth: Pick<Rates, 'messages' | 'bytes'>;
  readonly back: Pick<Rates, 'messages' | 'bytes'>;
}

export const SORTS = ['slot', 'name', 'messages', 'bytes'] as const;
export type Sort = (typeof SORTS)[number];

export function modelOf(now: RegionSample, before: RegionSample | null, sort: Sort): TopModel {
  const seconds = before === null ? 0 : (now.at - before.at) / 1000;
  const members = memberRows(now, before, seconds);
  const channels = channelRows(now, before, seconds);
  members.sort(memberOrder[sort]);
  channels.sort(channelOrder[sort]);
  const states = { joining: 0, active: 0, suspect: 0, leaving: 0 };
  for (const { state } of now.members) states[state]++;
  const inChannels = now.channels.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  return {
    region: now.region,
    view: now.view,
    slots: now.slots,
    channelEntries: now.channelEntries,
    states,
    heapBytes: now.heapBytes,
    usedHeapBytes: now.freeHeapBytes === null ? inChannels : now.heapBytes - now.freeHeapBytes,
    total: {
      messages: sum(members.map(({ sent }) => sent.messages)),
      bytes: sum(members.map(({ sent }) => sent.bytes)),
      doorbells: sum(members.map(({ sent }) => sent.doorbells)),
      sleeps: sum(members.map(({ sent }) => sent.sleeps)),
    },
    members,
    channels,
  };
}

function memberRows(now: RegionSample, before: RegionSample | null, seconds: number): MemberRow[] {
  const earlier = new Map(before?.members.map((member) => [member.slot, member]));
  const channels = new Map<number, number>();
  for (const { connector, listener } of now.channels) {
    for (const slot of [connector, listener]) channels.set(slot, (channels.get(slot) ?? 0) + 1);
  }
  return now.members.map((member) => {
    const was = earlier.get(member.slot);
    // Another life of the slot counts from 0 again, and who did not answer has said nothing new.
    const comparable = was?.epoch === member.epoch && was.name === member.name && member.answered;
    const rate = (name: StatisticName): number | null =>
      comparable ? perSecond(member.statistics[name], was.statistics[name], seconds) : null;
    return {
      member,
      channels: channels.get(member.slot) ?? 0,
      sockets: socketsOf(member.statistics),
      sent: {
        messages: rate('messagesSent'),
        bytes: rate('bytesSent'),
        doorbells: rate('doorbellsRung'),
        sleeps: rate('sleeps'),
      },
      received: { messages: rate('messagesReceived'), bytes: rate('bytesReceived') },
    };
  });
}

function channelRows(now: RegionSample, before: RegionSample | null, seconds: number): ChannelRow[] {
  const earlier = new Map(before?.channels.map((channel) => [channel.number, channel]));
  const names = new Map(now.members.map(({ slot, name }) => [slot, name]));
  const nameOf = (slot: number): string => names.get(slot) || `slot ${slot}`;
  return now.channels.map((channel) => {
    const found = earlier.get(channel.number);
    const was = found?.generation === channel.generation ? found : undefined;
    const rates = (to: Carried, from: Carried | undefined): Pick<Rates, 'messages' | 'bytes'> => ({
      messages: from === undefined ? null : perSecond(to.messages, from.messages, seconds),
      bytes: from === undefined ? null : perSecond(to.bytes, from.bytes, seconds),
    });
    return {
      channel,
      connector: nameOf(channel.connector),
      listener: nameOf(channel.listener),
      forth: rates(channel.forth, was?.forth),
      back: rates(channel.back, was?.back),
    };
  });
}

/** A counter that went back began anew, or lies. */
function perSecond(now: number, before: number, seconds: number): number | null {
  return seconds > 0 && now >= before ? (now - before) / seconds : null;
}

/** Of what is known; null when nothing is. */
function sum(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
}

const most = (rates: readonly (number | null)[]): number => sum(rates) ?? -1;
const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const bySlot = (a: MemberRow, b: MemberRow): number => a.member.slot - b.member.slot;
const memberOrder: Readonly<Record<Sort, (a: MemberRow, b: MemberRow) => number>> = {
  slot: bySlot,
  name: (a, b) => byText(a.member.name, b.member.name) || bySlot(a, b),
  messages: (a, b) =>
    most([b.sent.messages, b.received.messages]) - most([a.sent.messages, a.received.messages]) ||
    bySlot(a, b),
  bytes: (a, b) =>
    most([b.sent.bytes, b.received.bytes]) - most([a.sent.bytes, a.received.bytes]) || bySlot(a, b),
};

const byNumber = (a: ChannelRow, b: ChannelRow): number => a.channel.number - b.channel.number;
const channelOrder: Readonly<Record<Sort, (a: ChannelRow, b: ChannelRow) => number>> = {
  slot: byNumber,
  name: (a, b) => byText(a.connector, b.connector) || byText(a.listener, b.listener) || byNumber(a, b),
  messages: (a, b) =>
    most([b.forth.messages, b.back.messages]) - most([a.forth.messages, a.back.messages]) || byNumber(a, b),
  bytes: (a, b) =>
    most([b.forth.bytes, b.back.bytes]) - most([a.forth.bytes, a.back.bytes]) || byNumber(a, b),
};
