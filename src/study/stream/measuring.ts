import { once } from 'node:events';
import type net from 'node:net';
import { makePattern, stamp } from './content.ts';
import { receiveFiles } from './file.ts';
import { checkAnswer, encodeHeader, headerBytes } from './header.ts';
import { LineChecker } from './line-checker.ts';
import type { SocketModule } from './modules.ts';
import type { Order } from './orders.ts';

export interface Measured {
  /** Resolves when `n` round trips are made or `n` messages have come. @throws Error when content is wrong or the peer is gone. */
  readonly step: (n: number) => Promise<void>;
  /** What came since the last step counts for the next one, unless this says that time has passed. */
  readonly forget: () => void;
  /** Resolves with how often the connection left shared memory, mostly for a larger channel. @throws Error when it did not come back. */
  readonly end: () => Promise<number>;
}

/** Bytes that the kernel reads into at once, where a program gives it its own buffer: what Node's own reads are. */
const READ_BYTES = 65_536;

/**
 * The measuring side of one connection, whichever module it is of. `onread`: the kernel reads into one buffer of the program, which is what
 * Node's sockets do best, instead of `data` events. `lap` is called at the end of each round trip.
 */
export async function measureStream(
  module: SocketModule,
  target: net.NetConnectOpts,
  order: Order,
  onread: boolean,
  lap?: () => void,
): Promise<Measured> {
  const { what, bytes } = order;
  const checker = new LineChecker(bytes);
  const words = makePattern(bytes);
  const message = Buffer.from(words.buffer);
  let wanted = 0;
  let finish = () => {};
  let fail = (_: Error) => {};
  const send = () => {
    stamp(words, 0, bytes, checker.sequence);
    socket.write(message);
  };
  let receive = (piece: Uint8Array) => {
    const ended = checker.take(piece);
    if (ended === 0) return;
    const before = wanted;
    wanted -= ended;
    lap?.();
    if (before > 0 && wanted <= 0) finish();
    else if (what === 'rtt') send();
  };
  const guarded = (piece: Uint8Array) => {
    try {
      receive(piece);
    } catch (error) {
      fail(error as Error);
    }
  };
  const buffer = new Uint8Array(onread ? READ_BYTES : 0);
  const read = (count: number) => {
    guarded(buffer.subarray(0, count));
    return true;
  };
  const socket = module.connect({ ...target, ...(onread ? { onread: { buffer, callback: read } } : {}) });
  if (!onread) socket.on('data', guarded);
  await once(socket, 'connect');
  socket.on('error', (error) => fail(error));
  socket.on('close', () => fail(new Error('the answering side closed')));
  const checked = receive;
  try {
    await new Promise<void>((resolve, reject) => {
      fail = reject;
      const answer = Buffer.alloc(headerBytes);
      let filled = 0;
      receive = (piece) => {
        const took = Math.min(piece.length, headerBytes - filled);
        answer.set(piece.subarray(0, took), filled);
        filled += took;
        if (filled < headerBytes) return;
        checkAnswer(answer);
        receive = checked;
        if (took < piece.length) receive(piece.subarray(took));
        resolve();
      };
      socket.write(encodeHeader(order));
    });
    await module.onPath(socket);
  } catch (error) {
    socket.destroy();
    throw error;
  }
  if (what === 'file') {
    socket.removeListener('data', guarded);
    return receiveFiles(socket, bytes);
  }
  const before = module.fallbacks(socket).length;
  return {
    forget: () => {
      wanted = 0;
    },
    step: (n) =>
      new Promise<void>((resolve, reject) => {
        finish = resolve;
        fail = reject;
        // What came since the last step, of a stream that never stops, counts.
        wanted = what === 'rtt' ? n : wanted + n;
        if (wanted <= 0) resolve();
        else if (what === 'rtt') send();
      }),
    end: async () => {
      fail = () => {};
      try {
        // It may change its channel for a larger one, with TCP in between; a connection that stays there was not measured.
        await module.onPath(socket);
        return module.fallbacks(socket).length - before;
      } finally {
        socket.destroy();
        if (!socket.closed) await once(socket, 'close');
      }
    },
  };
}
