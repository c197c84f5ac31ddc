import type net from 'node:net';
import { makePattern, stamp } from './content.ts';
import { sendFiles } from './file.ts';
import { decodeHeader, encodeAnswer, headerBytes } from './header.ts';
import type { SocketModule } from './modules.ts';
import { messagesPerWrite, type Order } from './orders.ts';

/** More than a stream takes before it says that it is full: what is in it must stay as it is. */
const POOL_BYTES = 65_536;
const LEAST_BUFFERS = 4;

/** The answering side of one connection, whichever module it is of: reads what it is for, and does it until the other side closes. */
export function answer(module: SocketModule, socket: net.Socket): void {
  // The measuring side ends a sample by closing in the middle of the stream.
  socket.on('error', () => socket.destroy());
  let read = 0;
  const header = Buffer.alloc(headerBytes);
  socket.on('data', function collect(piece: Buffer) {
    const took = piece.copy(header, read);
    read += took;
    if (read < headerBytes) return;
    socket.removeListener('data', collect);
    if (took < piece.length) throw new Error('the measuring side did not wait for the answer');
    void begin(module, socket, header);
  });
}

async function begin(module: SocketModule, socket: net.Socket, header: Buffer): Promise<void> {
  const purpose = decodeHeader(header);
  if (purpose.what === 'hello') {
    socket.on('data', () => {});
    socket.write(encodeAnswer());
    return;
  }
  if (purpose.what === 'rtt') echo(socket, purpose.bytes);
  else if (purpose.what === 'open') socket.on('data', (piece: Buffer) => socket.write(piece));
  else if (purpose.what !== 'file') socket.on('data', () => {});
  try {
    await module.onPath(socket);
  } catch (error) {
    socket.end(encodeAnswer((error as Error).message));
    return;
  }
  socket.write(encodeAnswer());
  if (purpose.what === 'file') await sendFiles(socket, purpose.bytes);
  else if (purpose.what !== 'rtt' && purpose.what !== 'open') await feed(socket, purpose);
}

/** Sends a message back when all of it is there. */
function echo(socket: net.Socket, bytes: number): void {
  let pieces: Buffer[] = [];
  let left = bytes;
  socket.on('data', (piece: Buffer) => {
    left -= piece.length;
    if (left === 0 && pieces.length === 0) socket.write(piece);
    else pieces.push(piece);
    if (left < 0) throw new Error('more than one message under way');
    if (left > 0) return;
    left = bytes;
    if (pieces.length === 0) return;
    socket.cork();
    for (const one of pieces) socket.write(one);
    socket.uncork();
    pieces = [];
  });
}

/** Writes messages for ever, and waits for `drain` when the stream says that it is full. */
async function feed(socket: net.Socket, order: Order): Promise<void> {
  const { bytes } = order;
  const perWrite = messagesPerWrite(order);
  let wake = () => {};
  socket.on('drain', () => wake());
  socket.on('close', () => wake());
  const pattern = makePattern(bytes);
  const count = Math.max(LEAST_BUFFERS, POOL_BYTES / (bytes * perWrite));
  const buffers = Array.from({ length: count }, () => {
    const words = new Int32Array((bytes / 4) * perWrite);
    for (let i = 0; i < perWrite; i++) words.set(pattern, (i * bytes) / 4);
    return { words, octets: Buffer.from(words.buffer) };
  });
  for (let sequence = 0, next = 0; !socket.destroyed; next = (next + 1) % count) {
    const { words, octets } = buffers[next]!;
    for (let i = 0; i < perWrite; i++) stamp(words, (i * bytes) / 4, bytes, (sequence + i) | 0);
    sequence = (sequence + perWrite) | 0;
    const full = !socket.write(octets);
    // A socket that closed meanwhile says nothing more.
    if (full && !socket.destroyed) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    } else if (next === 0) await new Promise(setImmediate);
  }
}
