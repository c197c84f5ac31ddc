import net from 'node:net';
import { isKnown } from '../net/socket-state.ts';

const lower = new WeakMap<object, net.Socket>();

/** Notes that `socket` (of TLS, or a stream that node:http2 reads) is carried by a TCP connection. */
export function carriedBy(socket: object, carrier: net.Socket): void {
  lower.set(socket, carrier);
}

/** The TCP connection under a socket of TLS or HTTP/2 that was put on one of ours; null: it is one itself, or none of ours. */
export function lowerOf(socket: object): net.Socket | null {
  const noted = lower.get(socket);
  if (noted !== undefined) return noted;
  const { stream } = socket as { stream?: unknown };
  return stream !== socket && isKnown(stream) ? stream : null;
}

/** The methods of a socket that its TCP connection has to answer, since there is no handle that would pass them on. */
const PASSED_ON = ['ref', 'unref', 'setNoDelay', 'setKeepAlive', '_getpeername', '_getsockname'] as const;

/** Makes sockets without a handle pass on what a handle would have passed on. */
export function passOn(): void {
  for (const name of PASSED_ON) {
    const own = Reflect.get(net.Socket.prototype, name) as (...values: unknown[]) => unknown;
    const value = function (this: net.Socket, ...values: unknown[]): unknown {
      const carrier = lowerOf(this);
      if (carrier === null) return own.apply(this, values);
      const answer = (Reflect.get(carrier, name) as typeof own).apply(carrier, values);
      return name.startsWith('_') ? answer : this;
    };
    Object.defineProperty(net.Socket.prototype, name, { value, writable: true, configurable: true });
  }
}
