import { crc32 } from 'node:zlib';
import { type Channel, type ChannelEnd, isIvshmemError, type Region } from '../../../src/index.ts';

/** One JSON line on stdout. */
export const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

/** How often `hold` tells that it goes on; support/talker.ts counts on it. */
const ROUNDS_A_LINE = 20;
/** Between two round trips of `hold`: an emulated processor has little time left for anything else otherwise. */
const PAUSE_MS = 10;

/** Word 0: sequence number; word 1: CRC-32 of the rest. */
const HEAD_BYTES = 8;

/** Listens to `echo` and `sink` for as long as the region is open, and tells how each channel ended. */
export async function serve(region: Region): Promise<void> {
  const echo = await region.listen('echo');
  const sink = await region.listen('sink');
  const { kind } = region.device as { kind?: string };
  say({ ready: true, slot: region.slot, kind, pid: process.pid });
  const echoes = (async () => {
    for await (const channel of echo) report('echo', channel, answer(channel));
  })();
  const sinks = (async () => {
    for await (const channel of sink) report('sink', channel, swallow(channel));
  })();
  await Promise.all([echoes, sinks]);
}

/** What a peer did to the ring is the end of one channel, not of this process; anything not catalogued is. */
function report(service: string, channel: Channel, result: Promise<object>): void {
  const end = watchEnd(channel);
  void result.then(
    (outcome) => say({ service, peer: channel.peer, ...outcome, end: end() }),
    (error: unknown) => {
      if (!isIvshmemError(error)) throw error;
      say({ service, peer: channel.peer, end: end(), code: error.code });
      // The other side is told of a broken channel by its being closed.
      channel.close();
    },
  );
}

/** Why a channel ended at first: closing it afterwards makes its `end` say closed-here. */
function watchEnd(channel: Channel): () => ChannelEnd | null {
  let first: ChannelEnd | null = null;
  channel.onEnd((end) => {
    first = end;
  });
  return () => first;
}

async function answer(channel: Channel): Promise<object> {
  let count = 0;
  for await (const message of channel) {
    if (!(await channel.write(message.copy()))) break;
    count++;
  }
  channel.close();
  return { count };
}

async function swallow(channel: Channel): Promise<object> {
  let blocks = 0;
  let bytes = 0;
  let bad = 0;
  for await (const message of channel) {
    if (message.length === 0) break;
    const view = message.bytes;
    const words = new Uint32Array(view.buffer, view.byteOffset, 2);
    if (words[0] !== blocks || words[1] !== crc32(view.subarray(HEAD_BYTES))) bad++;
    blocks++;
    bytes += message.length;
  }
  const result = { blocks, bytes, bad };
  await channel.write(Buffer.from(JSON.stringify(result)));
  // The other side closes once it has the result.
  await channel.next();
  channel.close();
  return result;
}

/** Sends `mebibytes` MiB of blocks with checksums to a peer's sink. Resolves with what the sink counted. */
export async function pour(region: Region, peer: string, mebibytes: number, block: number): Promise<object> {
  const channel = await region.connect('sink', { peer, dataBytes: 1 << 20 });
  const body = new Uint8Array(block - HEAD_BYTES);
  for (let i = 0; i < body.length; i++) body[i] = (i * 31 + 7) & 0xff;
  const start = performance.now();
  const total = Math.floor((mebibytes * 2 ** 20) / block);
  for (let i = 0; i < total; i++) {
    body[i % body.length] = i & 0xff;
    let room = channel.reserve(block);
    while (room === null) {
      if (!(await channel.writable(block))) throw new Error(`the sink went away: ${channel.end}`);
      room = channel.reserve(block);
    }
    const { bytes } = channel.outgoing;
    bytes.set(body, room.offset + HEAD_BYTES);
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset + room.offset, 2);
    words[0] = i;
    words[1] = crc32(body);
    channel.commit();
  }
  await channel.write(new Uint8Array(0));
  const report = await channel.next();
  if (report === null) throw new Error(`the sink went away: ${channel.end}`);
  const seconds = (performance.now() - start) / 1000;
  const result = { ...JSON.parse(Buffer.from(report.copy()).toString()), seconds };
  channel.close();
  return result;
}

/** `count` round trips with a peer's echo. */
export async function ask(region: Region, peer: string, count: number): Promise<object> {
  const channel = await region.connect('echo', { peer });
  const start = performance.now();
  for (let i = 0; i < count; i++)
    if (!(await roundTrip(channel, `${region.name} asks ${i}`)))
      throw new Error(`no right answer to ${i}: ${channel.end}`);
  const us = ((performance.now() - start) * 1000) / count;
  channel.close();
  return { count, us, wait: region.waitStatistics() };
}

/**
 * Round trips with a peer's echo at short intervals until the channel ends, or an answer is not what was asked. `onFirst` is
 * called after the first.
 */
export async function hold(region: Region, peer: string, onFirst: () => void): Promise<object> {
  const channel = await region.connect('echo', { peer });
  const end = watchEnd(channel);
  let rounds = 0;
  let code: string | undefined;
  try {
    while (await roundTrip(channel, `${region.name} holds ${rounds}`)) {
      if (rounds++ === 0) onFirst();
      if (rounds % ROUNDS_A_LINE === 0) say({ holding: peer, rounds });
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  } catch (error) {
    if (!isIvshmemError(error)) throw error;
    ({ code } = error);
  }
  channel.close();
  return { rounds, end: end(), code };
}

/** False when there is no answer, because the channel ended, or a wrong one. */
async function roundTrip(channel: Channel, question: string): Promise<boolean> {
  if (!(await channel.write(Buffer.from(question)))) return false;
  const reply = await channel.next();
  if (reply === null) return false;
  const right = Buffer.from(reply.copy()).toString() === question;
  channel.release(reply);
  return right;
}
