import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Channel, Message, Region } from '../../channel/index.ts';
import { Checker, fill, makePattern, stamp } from './content.ts';
import { checkAnswer, decodeHeader, encodeAnswer, encodeHeader } from './header.ts';
import { messagesPerWrite, type Order } from './orders.ts';

/** The service of whoever answers. */
const SERVICE = 'study';
const SILENCE_NS = 30e9;
/** Failed tries after which a feeder lets its event loop run, to hear of a channel that closed. */
const PATIENCE = 20_000;
/**
 * A side that always finds something to do lets its event loop run so often, milliseconds, and looks at the clock after so many messages: a
 * member that never answers the server's signs of life is taken for dead, and on an emulated processor a lesson is longer than that takes.
 */
const TURN_MS = 250;
const TURN_MESSAGES = 1024;

/** Resolves at once, or after a turn of the event loop when one is due. Ask `due` first: it costs no promise. */
function turns(): { readonly due: (messages: number) => boolean; readonly take: () => Promise<void> } {
  let counted = 0;
  let last = performance.now();
  return {
    due: (messages) => {
      counted += messages;
      if (counted < TURN_MESSAGES) return false;
      counted = 0;
      return performance.now() - last >= TURN_MS;
    },
    take: async () => {
      await nextTurn();
      last = performance.now();
    },
  };
}

/** What a channel is asked for. */
export interface Shape {
  /** Descriptors of each way. */
  readonly queueSize?: number;
  /** Data area of each way. */
  readonly dataBytes?: number;
}

const SHAPE: Shape = { dataBytes: 8 << 20 };

/** The answering side of channels: each begins with a message that says what for, one at a time, until it is killed. */
export async function answerChannels(region: Region): Promise<void> {
  for await (const channel of await region.listen(SERVICE)) {
    const message = await channel.next();
    if (message === null) continue;
    const order = decodeHeader(Buffer.from(message.copy()));
    channel.release(message);
    await channel.write(encodeAnswer());
    if (order.what === 'rtt') await echo(channel, order.bytes);
    else if (order.what === 'open') reflect(channel);
    else if (order.what !== 'hello') await feed(channel, order);
    // Its memory is the region's until this side has closed it, too.
    if (order.what === 'open') channel.onEnd(() => channel.close());
    else channel.close();
  }
}

/** Polls; ends when the other side closes. */
async function echo(channel: Channel, bytes: number): Promise<void> {
  const turn = turns();
  const { words: out } = channel.outgoing;
  const { words: incoming } = channel.incoming;
  for (let message = channel.spin(SILENCE_NS); message !== null; message = channel.spin(SILENCE_NS)) {
    const room = channel.reserve(bytes);
    if (room === null) return;
    const from = message.offset >> 2;
    const to = room.offset >> 2;
    for (let w = 0; w < bytes >> 2; w++) out[to + w] = incoming[from + w]!;
    channel.commit();
    channel.release(message);
    if (turn.due(1)) await turn.take();
  }
}

/** Sends every message back from the event loop, however many are under way. */
function reflect(channel: Channel): void {
  // A ring holds as many answers as questions, so that there is room unless the other side is gone.
  channel.serve((message) => void channel.send(message.bytes));
}

async function feed(channel: Channel, order: Order): Promise<void> {
  const { bytes } = order;
  const pattern = makePattern(bytes);
  const { words } = channel.outgoing;
  const burst = messagesPerWrite(order);
  const turn = turns();
  let idle = 0;
  for (let sequence = 0; channel.end === null; ) {
    const room = channel.reserveBurst(burst, bytes);
    if (room === null) {
      if (++idle % PATIENCE === 0) await nextTurn();
      continue;
    }
    idle = 0;
    for (let i = 0, at = room.offset >> 2; i < room.count; i++, at += room.stride >> 2) {
      fill(words, at, pattern);
      stamp(words, at, bytes, sequence);
      sequence = (sequence + 1) | 0;
    }
    channel.commit();
    if (turn.due(room.count)) await turn.take();
  }
}

/** A channel that the other side serves an order on. @throws Error when it cannot. */
export async function connectFor(region: Region, order: Order, shape: Shape = SHAPE): Promise<Channel> {
  const channel = await region.connect(SERVICE, shape);
  await channel.write(encodeHeader(order));
  const answer = await channel.next();
  if (answer === null) throw new Error(`the channel ended: ${channel.end}`);
  checkAnswer(Buffer.from(answer.copy()));
  channel.release(answer);
  return channel;
}

export interface Measured {
  /** So many round trips, or messages that came. @throws Error when content is wrong or the peer is gone. */
  readonly step: (n: number) => void | Promise<void>;
  readonly end: () => Promise<void>;
}

/** The measuring side of one sample. `lap` is called at the end of each round trip. */
export async function measureChannel(
  region: Region,
  order: Order,
  { shape = SHAPE, copied = false, lap }: { shape?: Shape; copied?: boolean; lap?: () => void } = {},
): Promise<Measured> {
  const { what, bytes } = order;
  if (what === 'file') throw new Error('a channel carries messages, and no files');
  const channel = await connectFor(region, order, shape);
  const step =
    what === 'rtt'
      ? roundTrips(channel, bytes, lap)
      : what === 'open'
        ? servedRoundTrips(channel, bytes, lap)
        : takes(channel, bytes, copied);
  return { step, end: async () => channel.close() };
}

function take(channel: Channel): Message {
  const message = channel.spin(SILENCE_NS);
  if (message !== null) return message;
  throw new Error(channel.end === null ? 'nothing came for 30 s' : `the channel ended: ${channel.end}`);
}

function roundTrips(channel: Channel, bytes: number, lap?: () => void): (n: number) => void {
  const { words } = channel.outgoing;
  const pattern = makePattern(bytes);
  const checker = new Checker(bytes);
  let sequence = 0;
  return (n) => {
    for (let i = 0; i < n; i++) {
      const room = channel.reserve(bytes);
      if (room === null) throw new Error(`no room in an idle channel (end: ${channel.end ?? 'none'})`);
      fill(words, room.offset >> 2, pattern);
      stamp(words, room.offset >> 2, bytes, sequence);
      channel.commit();
      const message = take(channel);
      if (!checker.isRight(channel.incoming.words, message.offset >> 2, sequence))
        throw new Error(`message ${sequence} is wrong`);
      channel.release(message);
      sequence = (sequence + 1) | 0;
      lap?.();
    }
  };
}

/** One at a time, from the event loop, which waits as the region was told to. */
function servedRoundTrips(channel: Channel, bytes: number, lap?: () => void): (n: number) => Promise<void> {
  const words = makePattern(bytes);
  const message = Buffer.from(words.buffer);
  const checker = new Checker(bytes);
  let sequence = 0;
  let left = 0;
  let finish = () => {};
  let fail = (_: Error) => {};
  const send = (): void => {
    stamp(words, 0, bytes, sequence);
    if (!channel.send(message)) fail(new Error(`no room in an idle channel (end: ${channel.end ?? 'none'})`));
  };
  channel.serve((reply) => {
    if (!checker.isRight(channel.incoming.words, reply.offset >> 2, sequence))
      return fail(new Error(`message ${sequence} is wrong`));
    sequence = (sequence + 1) | 0;
    lap?.();
    if (--left > 0) send();
    else finish();
  });
  channel.onEnd((end) => fail(new Error(`the channel ended: ${end}`)));
  return (n) =>
    new Promise((resolve, reject) => {
      left = n;
      finish = resolve;
      fail = reject;
      send();
    });
}

/** Takes a burst at a time, in place or copied out; what a burst brought beyond `n` counts for the next call. */
function takes(channel: Channel, bytes: number, copied: boolean): (n: number) => void {
  const { words } = channel.incoming;
  const checker = new Checker(bytes);
  const copy = new Int32Array(bytes / 4);
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
    if (copied) copy.set(words.subarray(at, at + copy.length));
    if (!checker.isRight(copied ? copy : words, copied ? 0 : at, expected))
      throw new Error(`message ${expected} is wrong`);
    expected = (expected + 1) | 0;
  }
}
