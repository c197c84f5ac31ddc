import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Channel, Message, Region } from '../../src/index.ts';
import { fail } from '../contestants/pair.ts';
import { burstOf, Checker, fill, makePattern, stamp } from './content.ts';
import { dataBytes, type Order, orders, serviceOf } from './orders.ts';

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
  const { words: out } = channel.outgoing;
  const { words: incoming } = channel.incoming;
  for (let message = channel.spin(silenceNs); message !== null; message = channel.spin(silenceNs)) {
    const room = channel.reserve(bytes);
    if (room === null) return;
    const from = message.offset >> 2;
    const to = room.offset >> 2;
    for (let w = 0; w < bytes >> 2; w++) out[to + w] = incoming[from + w]!;
    channel.commit();
    channel.release(message);
  }
}

async function feed(channel: Channel, bytes: number): Promise<void> {
  const pattern = makePattern(bytes);
  const { words } = channel.outgoing;
  const burst = burstOf(bytes);
  let idle = 0;
  for (let sequence = 0; channel.end === null; ) {
    const room = channel.reserveBurst(burst, bytes);
    if (room === null) {
      if (++idle % patience === 0) await nextTurn();
      continue;
    }
    idle = 0;
    for (let i = 0, at = room.offset >> 2; i < room.count; i++, at += room.stride >> 2) {
      fill(words, at, pattern);
      stamp(words, at, bytes, sequence);
      sequence = (sequence + 1) | 0;
    }
    channel.commit();
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
  const { words } = channel.outgoing;
  const pattern = makePattern(bytes);
  const checker = new Checker(bytes);
  let sequence = 0;
  return (n) => {
    for (let i = 0; i < n; i++) {
      const room = channel.reserve(bytes) ?? fail('no room in an idle channel');
      fill(words, room.offset >> 2, pattern);
      stamp(words, room.offset >> 2, bytes, sequence);
      channel.commit();
      const message = take(channel);
      if (!checker.isRight(channel.incoming.words, message.offset >> 2, sequence))
        fail(`message ${sequence} is wrong`);
      channel.release(message);
      sequence = (sequence + 1) | 0;
    }
  };
}

/** Takes a burst at a time, in place; what a burst brought beyond `n` counts for the next call. */
function takes(channel: Channel, bytes: number): (n: number) => void {
  const { words } = channel.incoming;
  const checker = new Checker(bytes);
  let expected = 0;
  let surplus = 0;
  return (n) => {
    let left = n - surplus;
    while (left > 0) {
      const messages = channel.receiveBurst();
      if (messages === null) {
        // Polls, for a while; the message it finds is a burst of one.
        const message = take(channel);
        check(message.offset >> 2);
        channel.release(message);
        left--;
        continue;
      }
      const { offsets, count } = messages;
      for (let i = 0; i < count; i++) check(offsets[i]! >> 2);
      channel.release();
      left -= count;
    }
    surplus = -left;
  };

  function check(at: number): void {
    if (!checker.isRight(words, at, expected)) fail(`message ${expected} is wrong`);
    expected = (expected + 1) | 0;
  }
}
