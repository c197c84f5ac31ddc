import { once } from 'node:events';
import {
  connect,
  createServer,
  type ListenOptions,
  type NetConnectOpts,
  type Server,
  type Socket,
} from 'node:net';
import { BLOCK_BYTES, type Effort, type Figures, MESSAGE_BYTES, median } from './figures.ts';

const HEADER_BYTES = 8;

/** The other path of the comparison: the same exchange over a node:net socket at its best (no delay, large writes allowed to join). */
export async function measureSocket(target: NetConnectOpts, path: string, effort: Effort): Promise<Figures> {
  const socket = connect(target);
  await once(socket, 'connect');
  socket.setNoDelay(true);
  const rtt: number[] = [];
  const message = Buffer.alloc(MESSAGE_BYTES, 1);
  socket.write(header('e', 0));
  for (let batch = 0; batch <= effort.batches; batch++) {
    const start = performance.now();
    for (let i = 0; i < effort.roundTrips; i++) {
      socket.write(message);
      await received(socket, MESSAGE_BYTES);
    }
    if (batch > 0) rtt.push(((performance.now() - start) * 1000) / effort.roundTrips);
  }
  socket.end();
  const messagesMs = await pour(target, effort.messages, MESSAGE_BYTES);
  const blocksMs = await pour(target, effort.blocks, BLOCK_BYTES);
  return {
    path,
    rttUs: median(rtt),
    messagesPerSecond: (effort.messages / messagesMs) * 1000,
    bytesPerSecond: ((effort.blocks * BLOCK_BYTES) / blocksMs) * 1000,
    received: effort.roundTrips * (effort.batches + 1) + effort.messages + effort.blocks,
  };
}

/** The responding side: echoes, or takes a number of bytes and answers with one. */
export async function serveSockets(at: ListenOptions): Promise<Server> {
  const server = createServer((socket) => {
    socket.setNoDelay(true);
    // A measuring side that goes away mid-way is its own report.
    socket.on('error', () => socket.destroy());
    let left = -1;
    socket.on('data', (chunk: Buffer) => {
      let data = chunk;
      if (left === -1) {
        left = data[0] === 0x65 ? 0 : data.readUIntBE(1, 6);
        data = data.subarray(HEADER_BYTES);
      }
      if (left === 0) {
        if (data.length > 0) socket.write(data);
        return;
      }
      left -= data.length;
      if (left <= 0) socket.end('.');
    });
  });
  server.listen(at);
  await once(server, 'listening');
  return server;
}

async function pour(target: NetConnectOpts, count: number, bytes: number): Promise<number> {
  const socket = connect(target);
  await once(socket, 'connect');
  const message = Buffer.alloc(bytes, 1);
  const start = performance.now();
  socket.write(header('t', count * bytes));
  for (let i = 0; i < count; i++) if (!socket.write(message)) await once(socket, 'drain');
  await received(socket, 1);
  const ms = performance.now() - start;
  socket.end();
  return ms;
}

function header(what: 'e' | 't', bytes: number): Buffer {
  const buffer = Buffer.alloc(HEADER_BYTES);
  buffer.write(what);
  buffer.writeUIntBE(bytes, 1, 6);
  return buffer;
}

/** Resolves when that many bytes came. */
function received(socket: Socket, bytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let left = bytes;
    const onData = (chunk: Buffer): void => {
      left -= chunk.length;
      if (left > 0) return;
      socket.off('data', onData);
      socket.off('close', onClose);
      resolve();
    };
    const onClose = (): void => reject(new Error('the other side closed the socket'));
    socket.on('data', onData);
    socket.on('close', onClose);
  });
}
