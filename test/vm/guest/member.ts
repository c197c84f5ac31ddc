/**
 * A member for the tests in VMs and for host processes beside them. One JSON line on stdout per result.
 *   member serve NAME             listens to `echo` and `sink` until killed
 *   member pour NAME PEER MIB BLOCK   sends that many MiB of checked blocks to PEER's sink
 *   member ask NAME PEER COUNT WAIT   round trips with PEER's echo, asleep between (WAIT: adaptive | interrupt)
 */
import { crc32 } from 'node:zlib';
import { adaptive, type Channel, interrupt, open, type Region } from '../../../src/index.ts';

const [command, name = 'member', peer = '', ...rest] = process.argv.slice(2);
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

/** Word 0: sequence number; word 1: CRC-32 of the rest. */
const HEAD_BYTES = 8;

async function serve(region: Region): Promise<void> {
  const echo = await region.listen('echo');
  const sink = await region.listen('sink');
  say({ ready: true, slot: region.slot, kind: (region.device as { kind?: string }).kind });
  const echoes = (async () => {
    for await (const channel of echo)
      void answer(channel).then((count) =>
        say({ service: 'echo', peer: channel.peer, count, end: channel.end }),
      );
  })();
  const sinks = (async () => {
    for await (const channel of sink)
      void swallow(channel).then((result) => say({ service: 'sink', peer: channel.peer, ...result }));
  })();
  await Promise.all([echoes, sinks]);
}

async function answer(channel: Channel): Promise<number> {
  let count = 0;
  for await (const message of channel) {
    if (!(await channel.write(message.copy()))) break;
    count++;
  }
  channel.close();
  return count;
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
  return { ...result, end: channel.end };
}

async function pour(region: Region, mebibytes: number, block: number): Promise<void> {
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
    channel.outgoing.bytes.set(body, room.offset + HEAD_BYTES);
    const words = new Uint32Array(
      channel.outgoing.bytes.buffer,
      channel.outgoing.bytes.byteOffset + room.offset,
      2,
    );
    words[0] = i;
    words[1] = crc32(body);
    channel.commit();
  }
  await channel.write(new Uint8Array(0));
  const report = await channel.next();
  if (report === null) throw new Error(`the sink went away: ${channel.end}`);
  const seconds = (performance.now() - start) / 1000;
  say({ ...JSON.parse(Buffer.from(report.copy()).toString()), seconds });
  channel.close();
}

async function ask(region: Region, count: number): Promise<void> {
  const channel = await region.connect('echo', { peer });
  const start = performance.now();
  for (let i = 0; i < count; i++) {
    await channel.write(Buffer.from(`${name} asks ${i}`));
    const reply = await channel.next();
    const text = reply && Buffer.from(reply.copy()).toString();
    if (text !== `${name} asks ${i}`) throw new Error(`asked ${i}, got ${text} (${channel.end})`);
    channel.release(reply!);
  }
  const us = ((performance.now() - start) * 1000) / count;
  say({ count, us, wait: region.waitStatistics() });
  channel.close();
}

const region = await open({ name, wait: rest[1] === 'interrupt' ? interrupt : adaptive });
if (command === 'serve') await serve(region);
else if (command === 'pour') await pour(region, Number(rest[0]), Number(rest[1]));
else if (command === 'ask') await ask(region, Number(rest[0]));
else throw new Error(`no command ${command}`);
await region.close();
