import { once } from 'node:events';
import net from 'node:net';
import type { Measured } from '../../src/study/stream/channel.ts';
import { burstOf, Checker, makePattern, stamp } from '../../src/study/stream/content.ts';
import { MessageReader } from '../contestants/message-reader.ts';
import { fail } from '../contestants/pair.ts';
import type { Order } from './orders.ts';

/** A connection starts with its order: 0 (echo) or 1 (feed), and the size of a message. */
const headerBytes = 8;

/** The answering guest: Node's own TCP, NODELAY. */
export async function answerTcp(host: string, port: number): Promise<net.Server> {
  const server = net.createServer({ noDelay: true }, (socket) => {
    // The measuring side ends a sample by closing in the middle of the stream.
    socket.on('error', () => socket.destroy());
    socket.once('data', (first: Buffer) => {
      const bytes = first.readInt32LE(4);
      if (first.readInt32LE(0) === 1) return void feed(socket, bytes);
      if (first.length > headerBytes) socket.write(first.subarray(headerBytes));
      socket.on('data', (chunk: Buffer) => socket.write(chunk));
    });
  });
  server.listen(port, host);
  await once(server, 'listening');
  return server;
}

/** One write a burst; buffers are used again only after the stream said that it is empty. */
async function feed(socket: net.Socket, bytes: number): Promise<void> {
  let wake = () => {};
  socket.on('data', () => {});
  socket.on('drain', () => wake());
  socket.on('close', () => wake());
  const burst = burstOf(bytes);
  const pattern = makePattern(bytes);
  const buffers = Array.from({ length: 16 }, () => {
    const words = new Int32Array((bytes / 4) * burst);
    for (let i = 0; i < burst; i++) words.set(pattern, (i * bytes) / 4);
    return words;
  });
  for (let sequence = 0, next = 0; !socket.destroyed; next = (next + 1) % buffers.length) {
    const words = buffers[next]!;
    for (let i = 0; i < burst; i++) stamp(words, (i * bytes) / 4, bytes, (sequence + i) | 0);
    sequence = (sequence + burst) | 0;
    const full = !socket.write(new Uint8Array(words.buffer));
    // A socket that closed meanwhile says nothing more.
    if (full && !socket.destroyed) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    } else if (next === 0) await new Promise(setImmediate);
  }
}

/** The measuring guest's side of one sample. */
export async function measureTcp(host: string, port: number, { what, bytes }: Order): Promise<Measured> {
  const checker = new Checker(bytes);
  const message = makePattern(bytes);
  const echo = what === 'rtt';
  let sequence = 0;
  let wanted = 0;
  let finish = () => {};
  const reader = new MessageReader(bytes, Math.max(65536, bytes), (words, at) => {
    if (!checker.isRight(words, at, sequence)) fail(`message ${sequence} is wrong`);
    sequence = (sequence + 1) | 0;
    if (--wanted === 0) finish();
    else if (echo) send();
  });
  const socket = net.connect({ host, port, noDelay: true, onread: reader.onread });
  const send = () => {
    stamp(message, 0, bytes, sequence);
    socket.write(new Uint8Array(message.buffer));
  };
  await once(socket, 'connect');
  socket.write(new Uint8Array(Int32Array.of(echo ? 0 : 1, bytes).buffer));
  return {
    step: (n) => {
      wanted = n;
      const done = new Promise<void>((resolve) => {
        finish = resolve;
      });
      if (echo) send();
      return done;
    },
    end: async () => {
      const closed = once(socket, 'close');
      socket.destroy();
      await closed;
    },
  };
}
