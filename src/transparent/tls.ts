import net from 'node:net';
import tls from 'node:tls';
import type { Internals } from '../net/methods.ts';
import { isKnown } from '../net/socket-state.ts';
import { mustReadHandle, onStream } from './js-stream.ts';
import { carriedBy } from './lower.ts';
import { isNear, mayMeet, normalized, replace } from './net.ts';
import type { OwnRegion } from './region.ts';

type Options = tls.ConnectionOptions & { readonly onread?: unknown; readonly allowHalfOpen?: boolean };

/** What happens to a socket before it is connected, which a TLS socket that is its own TCP socket tells of. */
const TOLD = ['lookup', 'connectionAttempt', 'connectionAttemptFailed', 'connectionAttemptTimeout', 'ready'];

/** The streams under TLS sockets that were put on connections of ours. */
const streams = new WeakMap<tls.TLSSocket, net.Socket>();

/**
 * Has TLS speak over a stream, not over the TCP handle, where the peer may be in the region: TLS takes a handle for good. What
 * decides is the moment in which TLS begins.
 */
export function patchTls(own: OwnRegion): void {
  const prototype = tls.TLSSocket.prototype as unknown as object;
  replace(prototype, '_wrapHandle', (wrapHandle) => {
    return function (this: tls.TLSSocket, wrap: unknown, handle: unknown, active: unknown): unknown {
      const { _tlsOptions: mine } = this as unknown as {
        readonly _tlsOptions?: Options & { isServer?: boolean };
      };
      if (!(wrap instanceof net.Socket) || !isNear(wrap) || (wrap as Internals)._handle === null)
        return wrapHandle.call(this, wrap, handle, active);
      if (!mine?.isServer && mustReadHandle(mine)) return wrapHandle.call(this, wrap, handle, active);
      // With a handle those who read before would hear nothing any more; as it is they would hear what is encrypted.
      wrap.removeAllListeners('data').removeAllListeners('readable');
      const stream = onStream(wrap);
      streams.set(this, stream);
      return wrapHandle.call(this, stream, stream._handle, active);
    };
  });
  replace(prototype, '_init', (init) => {
    return function (this: tls.TLSSocket, socket: unknown, wrap: unknown): unknown {
      const stream = streams.get(this) ?? wrap;
      const carrier = (stream as { stream?: unknown } | null | undefined)?.stream;
      if (!isKnown(carrier)) return init.call(this, socket, wrap);
      const result = init.call(this, socket, stream);
      settle(this, stream as net.Socket, carrier);
      return result;
    };
  });
  replace(tls, 'connect', (connect) => {
    return function (this: unknown, ...values: unknown[]): unknown {
      const [options, callback] = optionsOf(values);
      const { socket, path, onread, host, port, timeout } = options;
      const plain = socket || path || onread || mustReadHandle(options);
      if (plain || !mayMeet(own, host, port)) return connect.apply(this, values);
      const carrier = new net.Socket({ allowHalfOpen: options.allowHalfOpen === true });
      try {
        carrier.connect(options as net.SocketConnectOpts);
        const secured = connect.call(this, { ...options, socket: carrier }, callback) as tls.TLSSocket;
        if (timeout) secured.setTimeout(timeout);
        for (const event of TOLD)
          carrier.on(event, (...about: unknown[]) => void secured.emit(event, ...about));
        return secured;
      } catch (error) {
        carrier.destroy();
        throw error;
      }
    };
  });
}

/** What a TLS socket on a stream does not do as one on a handle does. */
function settle(socket: tls.TLSSocket, stream: net.Socket, carrier: net.Socket): void {
  carriedBy(socket, carrier);
  // The TLS socket says when it is done, after what it still has to send.
  carrier.allowHalfOpen = true;
  // A connection without a handle is not one that is still to be made.
  (socket as { connecting: boolean }).connecting = carrier.connecting;
  // An error of TCP is one of this socket: its 'close' has to say so.
  stream.removeAllListeners('error');
  stream.on('error', (error) => void socket.destroy(error));
}

/** As node:tls reads its arguments: options may come behind a port and a host. */
function optionsOf(values: unknown[]): [Options, unknown] {
  const [options, callback] = normalized(values);
  const more = values.slice(1, 3).find((each) => typeof each === 'object' && each !== null) ?? {};
  return [{ ...options, ...more }, callback ?? undefined];
}
