import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Apart } from '../apps/app.ts';

/** A member that exchanges messages with the other host over TCP. */
export function apartOverTcp(socket: Socket, member: number): Apart {
  socket.setNoDelay(true);
  const come: Buffer[] = [];
  let bytes = 0;
  let wake = (): void => {};
  socket.on('data', (data) => {
    come.push(data);
    bytes += data.length;
    wake();
  });
  const take = (into: Uint8Array): void => {
    for (let at = 0; at < into.length; ) {
      const first = come.shift()!;
      const some = first.subarray(0, into.length - at);
      into.set(some, at);
      at += some.length;
      if (some.length < first.length) come.unshift(first.subarray(some.length));
    }
    bytes -= into.length;
  };
  return {
    member,
    async send(message) {
      // A copy: the caller goes on with its memory.
      if (!socket.write(Uint8Array.from(message))) await once(socket, 'drain');
    },
    async receive(into) {
      while (bytes < into.length)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      take(into);
    },
    poll(into) {
      if (bytes < into.length) return false;
      take(into);
      return true;
    },
  };
}
