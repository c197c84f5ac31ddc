import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Channel, Message, Region } from '../../src/index.ts';
import { fail } from '../contestants/pair.ts';
import { burstOf, Checker, makePattern, stamp } from './content.ts';
import { type Order, orders, serviceOf } from './orders.ts';

const dataBytes = 8 << 20;
const silenceNs = 30e9;

/** Failed tries after which a feeder lets its event loop run, to hear of a channel that closed. */
const patience = 20_000;

/** The answering guest: serves every order over channels, one at a time, until it is killed. */
export async function answerChannels(region: Region): Promise<void> {
  await Promise.all(
    orders.map(async (order) => {
      for await (const channel of await region.listen(serviceOf(order))) {
        if (order.what === 'rtt') echo(channel, order.bytes);
        else await feed(channel, order.bytes);
        channel.close();
      }
    }),
  );
}

/** Polls; ends when the other side closes. */
function echo(channel: Channel, bytes: number): void {
  for (let message = channel.spin(silenceNs); message !== null; message = channel.spin(silenceNs)) {
    const room = channel.reserve(bytes);
    if (room === null) return;
    channel.outgoing.bytes.set(message.bytes, room.offset);
    channel.commit();
    channel.release(message);
  }
}

async function feed(channel: Channel, bytes: number): Promise<void> {
  const pattern = new Uint8Array(makePattern(bytes).buffer);
  const { words, bytes: area } = channel.outgoing;
  const burst = burstOf(bytes);
  let pending = 0;
  let idle = 0;
  for (let sequence = 0; channel.end === null; ) {
    const room = channel.reserve(bytes);
    if (room === null) {
      if (pending > 0) channel.commit();
      pending = 0;
      if (++idle % patience === 0) await nextTurn();
      continue;
    }
    idle = 0;
    area.set(pattern, room.offset);
    stamp(words, room.offset >> 2, bytes, sequence);
    sequence = (sequence + 1) | 0;
    if (++pending === burst) {
      channel.commit();
      pending = 0;
    }
  }
}

export interface Measured {
  readonly step: (n: number) => void | Promise<void>;
  readonly end: () => Promise<void>;
}

/** The measuring guest's side of one sample. */
export async function measureChannel(region: Region, order: Order): Promise<Measured> {
  const channel = await region.connect(serviceOf(order), { dataBytes });
  const end = async () => channel.close();
  return { step: order.what === 'rtt' ? roundTrips(channel, order.bytes) : takes(channel, order.bytes), end };
}

function take(channel: Channel): Message {
  return channel.spin(silenceNs) ?? fail(`nothing came for 30 s (channel end: ${channel.end ?? 'none'})`);
}

function roundTrips(channel: Channel, bytes: number): (n: number) => void {
  const pattern = new Uint8Array(makePattern(bytes).buffer);
  const checker = new Checker(bytes);
  let sequence = 0;
  return (n) => {
    for (let i = 0; i < n; i++) {
      const room = channel.reserve(bytes) ?? fail('no room in an idle channel');
      channel.outgoing.bytes.set(pattern, room.offset);
      stamp(channel.outgoing.words, room.offset >> 2, bytes, sequence);
      channel.commit();
      const message = take(channel);
      if (!checker.isRight(channel.incoming.words, message.offset >> 2, sequence))
        fail(`message ${sequence} is wrong`);
      channel.release(message);
      sequence = (sequence + 1) | 0;
    }
  };
}

function takes(channel: Channel, bytes: number): (n: number) => void {
  const { words } = channel.incoming;
  const checker = new Checker(bytes);
  let expected = 0;
  return (n) => {
    for (let i = 0; i < n; i++) {
      const message = take(channel);
      if (!checker.isRight(words, message.offset >> 2, expected)) fail(`message ${expected} is wrong`);
      channel.release(message);
      expected = (expected + 1) | 0;
    }
  };
}
