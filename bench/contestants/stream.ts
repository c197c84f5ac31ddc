import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { printBatches, timeBatches } from './batches.ts';
import {
  burst,
  fillSmall,
  largeBytes,
  largeIsRight,
  makeLarge,
  smallBytes,
  smallIsRight,
  stampLarge,
} from './content.ts';
import { MessageReader } from './message-reader.ts';
import { parseOptions } from './options.ts';
import { serveOtherWork, wasServed } from './other-work.ts';
import { announce, announced, endPartner, endWithParent, fail, pinSelf, startPartner } from './pair.ts';

// Node's own sockets: `--transport unix | tcp` (loopback, NODELAY). Modes: rtt, loop, rate, in-place, copied.
const options = parseOptions();
const large = options.mode === 'in-place' || options.mode === 'copied';
const roundTrip = options.mode === 'rtt' || options.mode === 'loop';
const size = large ? largeBytes : smallBytes;

if (options.role === 'partner') await partner();
else await measure();

/** Listens, says where, and echoes or feeds whoever connects first. */
async function partner(): Promise<void> {
  endWithParent();
  if (options.mode === 'loop') serveOtherWork();
  const server = net.createServer({ noDelay: true });
  server.listen(options.transport === 'tcp' ? { host: '127.0.0.1', port: 0 } : { path: options.address });
  await once(server, 'listening');
  const where = server.address() as string | net.AddressInfo;
  const connected = once(server, 'connection');
  announce(typeof where === 'string' ? where : String(where.port));
  const [socket] = (await connected) as [net.Socket];
  // The measuring side kills this process while it writes: nothing to report.
  socket.on('error', () => process.exit(0));
  if (roundTrip) socket.on('data', (chunk) => socket.write(chunk));
  else await feed(socket);
}

/** Writes messages for ever: 64-byte ones a burst of 32 per write, 64 KiB ones one per write; waits when the socket is full. */
async function feed(socket: net.Socket): Promise<void> {
  const perWrite = large ? 1 : burst;
  // More than the stream buffers before write() says "full", so that none is rewritten while it waits.
  const buffers = Array.from({ length: 16 }, () =>
    large ? makeLarge() : new Int32Array((burst * smallBytes) / 4),
  );
  for (let sequence = 0, next = 0; ; next = (next + 1) % buffers.length) {
    const words = buffers[next]!;
    if (large) stampLarge(words, 0, sequence);
    else for (let i = 0; i < burst; i++) fillSmall(words, (i * smallBytes) / 4, (sequence + i) | 0);
    sequence = (sequence + perWrite) | 0;
    if (!socket.write(new Uint8Array(words.buffer))) await once(socket, 'drain');
    else if (next === 0) await new Promise(setImmediate);
  }
}

async function measure(): Promise<void> {
  pinSelf(options.cpuA);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bench-stream-'));
  let expected = 0;
  let wanted = 0;
  let finish = () => {};
  const message = Buffer.alloc(smallBytes);
  const messageWords = new Int32Array(message.buffer, message.byteOffset, smallBytes / 4);
  const send = (socket: net.Socket) => {
    fillSmall(messageWords, 0, expected);
    socket.write(message);
  };
  const reader = new MessageReader(size, largeBytes, (words, at) => {
    const right = large
      ? largeIsRight(words, at, expected, options.mode === 'copied')
      : smallIsRight(words, at, expected);
    if (!right) fail(`message ${expected}: wrong content`);
    expected = (expected + 1) | 0;
    if (--wanted === 0) finish();
    else if (roundTrip) send(socket);
  });
  const partner = startPartner(options, path.join(folder, 'socket'));
  const where = await announced(partner);
  const target = options.transport === 'tcp' ? { host: '127.0.0.1', port: Number(where) } : { path: where };
  const socket = net.connect({ ...target, onread: reader.onread });
  socket.setNoDelay(true);
  await once(socket, 'connect');
  const served = options.mode === 'loop' ? serveOtherWork() : undefined;
  const from = performance.now();
  const batches = await timeBatches(options.ms, (n) => {
    wanted = n;
    const done = new Promise<void>((resolve) => {
      finish = resolve;
    });
    if (roundTrip) send(socket);
    return done;
  });
  if (served && !wasServed(served(), performance.now() - from))
    fail(`the loop served its timer only ${served()} times`);
  await endPartner(partner);
  rmSync(folder, { recursive: true, force: true });
  printBatches(batches, roundTrip ? 'ns' : large ? 'B/s' : 'msg/s', roundTrip ? 0 : large ? largeBytes : 1);
  process.exit(0);
}
