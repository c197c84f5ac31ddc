import { once } from 'node:events';
import type net from 'node:net';
import type { Region } from '../../channel/index.ts';
import { connectFor } from '../stream/channel.ts';
import { Checker, makePattern, stamp } from '../stream/content.ts';
import { checkAnswer, encodeHeader, headerBytes } from '../stream/header.ts';
import { LineChecker } from '../stream/line-checker.ts';
import type { SocketModule } from '../stream/modules.ts';
import type { Carrier } from './open-loop.ts';

/** Messages of `bytes` over a channel, taken from the event loop. */
export async function channelCarrier(region: Region, bytes: number): Promise<Carrier> {
  const channel = await connectFor(region, { what: 'open', bytes });
  const words = makePattern(bytes);
  const message = Buffer.from(words.buffer);
  const checker = new Checker(bytes);
  return {
    send: (sequence) => {
      stamp(words, 0, bytes, sequence);
      return channel.send(message);
    },
    listen: (answered, failed) => {
      let expected = 0;
      channel.serve((reply) => {
        if (!checker.isRight(channel.incoming.words, reply.offset >> 2, expected))
          failed(new Error(`message ${expected} is wrong`));
        expected = (expected + 1) | 0;
        answered();
      });
      channel.onEnd((end) => failed(new Error(`the channel ended: ${end}`)));
    },
    end: async () => channel.close(),
  };
}

/** Messages of `bytes` over a connection of either module. */
export async function streamCarrier(
  module: SocketModule,
  target: net.NetConnectOpts,
  bytes: number,
): Promise<Carrier> {
  const socket = module.connect(target);
  await once(socket, 'connect');
  socket.write(encodeHeader({ what: 'open', bytes }));
  await answerOf(socket);
  await module.onPath(socket);
  const pattern = makePattern(bytes);
  const checker = new LineChecker(bytes);
  return {
    send: (sequence) => {
      // One of its own for each: how many are under way is not known.
      const words = pattern.slice();
      stamp(words, 0, bytes, sequence);
      socket.write(Buffer.from(words.buffer));
      return true;
    },
    listen: (answered, failed) => {
      socket.on('data', (piece: Buffer) => {
        try {
          for (let ended = checker.take(piece); ended > 0; ended--) answered();
        } catch (error) {
          failed(error as Error);
        }
      });
      socket.on('error', failed);
      socket.on('close', () => failed(new Error('the answering side closed')));
    },
    end: async () => {
      socket.removeAllListeners('close');
      socket.destroy();
      if (!socket.closed) await once(socket, 'close');
    },
  };
}

/** The first bytes of an answer, taken without what may follow. */
async function answerOf(socket: net.Socket): Promise<void> {
  for (let answer: Buffer | null = null; answer === null; ) {
    await once(socket, 'readable');
    answer = socket.read(headerBytes) as Buffer | null;
    if (answer !== null) checkAnswer(answer);
  }
}
