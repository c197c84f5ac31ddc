import { setImmediate } from 'node:timers/promises';
import type { Channel, Message, Region } from '../../src/index.ts';
import type { Apart } from './apps/app.ts';
import { NAME } from './pair.ts';

/** Longest piece that is sent at once. */
const PIECE_BYTES = 64 << 10;

/** The two ends of one channel. */
export async function connectToPartner(region: Region): Promise<Channel> {
  return region.connect(NAME, { peer: 'bench-b', dataBytes: 4 << 20 });
}

export async function acceptPartner(region: Region, ready: () => void): Promise<Channel> {
  const listener = await region.listen(NAME);
  ready();
  const channel = await listener.accept();
  if (channel === null) throw new Error('the listener closed');
  return channel;
}

/** A member that exchanges messages over a channel: long ones go in pieces, read where they lie and copied once. */
export function apartOver(channel: Channel, member: number): Apart {
  const gone = (): Error => new Error(`the channel ended: ${channel.end}`);
  const take = (message: Message, into: Uint8Array, at: number): number => {
    if (message.length > into.length - at)
      throw new Error(`a message of ${message.length} bytes comes amiss`);
    into.set(message.bytes, at);
    const { length } = message;
    channel.release(message);
    return at + length;
  };
  return {
    member,
    async send(bytes) {
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
        const piece = bytes.subarray(at, at + PIECE_BYTES);
        while (!channel.send(piece)) if (!(await channel.writable(piece.length))) throw gone();
      }
    },
    async receive(into) {
      for (let at = 0; at < into.length; ) {
        const message = channel.receive() ?? (await channel.next());
        if (message === null) throw gone();
        at = take(message, into, at);
      }
    },
    poll(into) {
      const message = channel.receive();
      return message !== null && take(message, into, 0) === into.length;
    },
  };
}

/** Two in one process, for tests: every message is a copy in a queue. */
export function apartInProcess(): [Apart, Apart] {
  const queues: Uint8Array[][] = [[], []];
  const side = (member: number): Apart => ({
    member,
    send: async (bytes) => void queues[1 - member]!.push(bytes.slice()),
    async receive(into) {
      const queue = queues[member]!;
      while (queue.length === 0) await setImmediate();
      into.set(queue.shift()!);
    },
    poll(into) {
      const message = queues[member]!.shift();
      if (message !== undefined) into.set(message);
      return message !== undefined;
    },
  });
  return [side(0), side(1)];
}
