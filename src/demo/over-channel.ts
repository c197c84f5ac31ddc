import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Channel, Message } from '../channel/index.ts';
import { BLOCK_BYTES, type Effort, type Figures, MESSAGE_BYTES, median } from './figures.ts';

/** What the measuring side asks of the responding side: to send `count` messages back, or to take them and report. */
interface Order {
  readonly what: 'echo' | 'take';
  readonly count: number;
}

export const DEMO_SERVICE = 'demo';
/** 8 MiB of data area: large blocks then travel through the last-level cache (docs/performance.md). */
export const DEMO_DATA_BYTES = 8 << 20;

const SPIN_NS = 10e9;
const BURST = 32;

/** Measures a channel whose other side runs `respond`. */
export async function measureChannel(channel: Channel, path: string, effort: Effort): Promise<Figures> {
  const rtt: number[] = [];
  await order(channel, { what: 'echo', count: effort.roundTrips * (effort.batches + 1) });
  for (let batch = 0; batch <= effort.batches; batch++) {
    const start = performance.now();
    for (let i = 0; i < effort.roundTrips; i++) ping(channel, i);
    // The first batch warms up.
    if (batch > 0) rtt.push(((performance.now() - start) * 1000) / effort.roundTrips);
  }
  const messages = await pour(channel, effort.messages, MESSAGE_BYTES);
  const blocks = await pour(channel, effort.blocks, BLOCK_BYTES);
  return {
    path,
    rttUs: median(rtt),
    messagesPerSecond: (effort.messages / messages.ms) * 1000,
    bytesPerSecond: ((effort.blocks * BLOCK_BYTES) / blocks.ms) * 1000,
    received: effort.roundTrips * (effort.batches + 1) + messages.received + blocks.received,
  };
}

/** Serves the orders of one measuring side until it closes. Returns the messages received. */
export async function respond(channel: Channel): Promise<number> {
  let received = 0;
  for (let message = await channel.next(); message !== null; message = await channel.next()) {
    const { what, count } = JSON.parse(Buffer.from(message.copy()).toString()) as Order;
    channel.release(message);
    if (what === 'echo') for (let i = 0; i < count; i++) echo(channel);
    else await channel.write(Buffer.from(JSON.stringify({ good: take(channel, count) })));
    received += count;
    await nextTurn();
  }
  return received;
}

async function order(channel: Channel, order: Order): Promise<void> {
  await channel.write(Buffer.from(JSON.stringify(order)));
}

/** One round trip, polling. */
function ping(channel: Channel, value: number): void {
  const room = channel.reserve(MESSAGE_BYTES)!;
  channel.outgoing.words[room.offset >> 2] = value;
  channel.commit();
  const reply = expect(channel);
  const got = channel.incoming.words[reply.offset >> 2];
  if (got !== value) throw new Error(`sent ${value}, got ${got} back`);
  channel.release(reply);
}

function echo(channel: Channel): void {
  const message = expect(channel);
  const room = channel.reserve(message.length)!;
  const words = message.length >> 2;
  const from = message.offset >> 2;
  const to = room.offset >> 2;
  for (let i = 0; i < words; i++) channel.outgoing.words[to + i] = channel.incoming.words[from + i]!;
  channel.commit();
  channel.release(message);
}

/** Sends `count` numbered messages as fast as they go, in bursts; resolves when the other side reported. */
async function pour(
  channel: Channel,
  count: number,
  bytes: number,
): Promise<{ ms: number; received: number }> {
  await order(channel, { what: 'take', count });
  const start = performance.now();
  const { words } = channel.outgoing;
  const block = new Uint8Array(bytes);
  for (let sent = 0; sent < count; ) {
    let burst = 0;
    for (; burst < BURST && sent < count; burst++, sent++) {
      const room = channel.reserve(bytes);
      if (room === null) break;
      if (bytes > MESSAGE_BYTES) channel.outgoing.bytes.set(block, room.offset);
      words[room.offset >> 2] = sent;
    }
    channel.commit();
    if (burst === 0 && !(await channel.writable(bytes))) throw new Error('the other side went away');
  }
  const report = await channel.next();
  const ms = performance.now() - start;
  if (report === null) throw new Error('the other side went away');
  const { good } = JSON.parse(Buffer.from(report.copy()).toString()) as { good: number };
  channel.release(report);
  if (good !== count) throw new Error(`${count} messages were sent, ${good} arrived in order`);
  return { ms, received: good };
}

/** Takes `count` messages and counts those that carry their number. */
function take(channel: Channel, count: number): number {
  let good = 0;
  for (let i = 0; i < count; i++) {
    const message = expect(channel);
    if (channel.incoming.words[message.offset >> 2] === i) good++;
    channel.release(message);
  }
  return good;
}

function expect(channel: Channel): Message {
  const message = channel.spin(SPIN_NS);
  if (message === null) throw new Error('the other side stopped answering');
  return message;
}
