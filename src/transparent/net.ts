import net from 'node:net';
import { countConnection } from '../net/counters.ts';
import { serviceOf } from '../net/directory.ts';
import { equip, type Internals } from '../net/methods.ts';
import { Server } from '../net/server.ts';
import { Socket } from '../net/socket.ts';
import { isKnown, onceConnected, stateOf } from '../net/socket-state.ts';
import { readsSocket } from '../net/take-over.ts';
import { passOn } from './lower.ts';
import { isNeighbour } from './neighbours.ts';
import type { OwnRegion } from './region.ts';

type Any = (...values: unknown[]) => unknown;

/** Connections whose peer may be in the region: what would take their handle for good is given a stream instead. */
const near = new WeakSet<net.Socket>();

export const isNear = (socket: net.Socket): boolean => near.has(socket);

/**
 * Whether a member may be there, now or later. Who is a neighbour may be about to join: a program that starts connects, or is connected
 * to, before its region is open. Whoever only knows a name, and not an address, asks for the port.
 */
export function mayMeet(own: OwnRegion, host: unknown, port: unknown): boolean {
  return own.mayMeet((directory) => {
    const place = typeof host === 'string' ? host : 'localhost';
    if (isNeighbour(place)) return true;
    return net.isIP(place) === 0
      ? directory.anybodyListens(Number(port))
      : directory.listenersAt(place, Number(port)).length > 0;
  });
}

/** Has the sockets and servers of node:net take part. Those of ivshmem/net see to themselves. */
export function patchNet(own: OwnRegion): void {
  equip(net.Socket.prototype);
  passOn();
  replace(net.Socket.prototype, 'connect', (connect) => {
    return function (this: net.Socket, ...values: unknown[]): unknown {
      const result = connect.apply(this, values);
      if (!(this instanceof Socket)) connects(own, this, values);
      return result;
    };
  });
  replace(net.Server.prototype, 'emit', (emit) => {
    return function (this: net.Server, event: unknown, ...values: unknown[]): unknown {
      if (this instanceof Server) return emit.call(this, event, ...values);
      if (event === 'connection') accepts(own, this, values[0]);
      const result = emit.call(this, event, ...values);
      if (event === 'listening') advertise(own, this);
      return result;
    };
  });
  replace(net.Server.prototype, 'close', (close) => {
    return function (this: net.Server, ...values: unknown[]): unknown {
      withdraw(this);
      return close.apply(this, values);
    };
  });
}

/** Puts a method in place of one that is there; a Node that has it no more keeps what it has. */
export function replace(object: object, name: string, make: (before: Any) => Any): void {
  const before: unknown = Reflect.get(object, name);
  if (typeof before !== 'function') return;
  const value = make(before as Any);
  Object.defineProperty(object, name, { value, writable: true, configurable: true });
}

/** As node:net reads the arguments of connect; those of its own calls are in an array already. */
function destination(values: unknown[]): net.TcpNetConnectOpts & { path?: string } {
  const [first] = values;
  const [options] = Array.isArray(first) ? first : normalized(values);
  return options as net.TcpNetConnectOpts;
}

/** As node:net reads the arguments of connect: options, and a callback or null. */
export function normalized(values: unknown[]): [options: object, callback: unknown] {
  const { _normalizeArgs } = net as unknown as { _normalizeArgs(values: unknown[]): [object, unknown] };
  return _normalizeArgs(values);
}

function connects(own: OwnRegion, socket: net.Socket, values: unknown[]): void {
  const { host, port, path } = destination(values);
  if (path || socket.destroyed) return;
  countConnection();
  stateOf(socket);
  if ('encrypted' in socket) {
    // TLS on a handle of its own, because nobody was found there.
    onceConnected(socket, () => own.stays(socket, 'no-peer'));
    return;
  }
  if (mayMeet(own, host, port)) near.add(socket);
  else near.delete(socket);
  onceConnected(socket, () => own.connected(socket));
  own.begin(() => {});
}

function accepts(own: OwnRegion, server: net.Server, socket: unknown): void {
  // What comes in other ways (a UNIX socket, a stream that a program hands over) is not node:net's, or was seen before.
  if (!(socket instanceof net.Socket) || isKnown(socket) || 'encrypted' in socket) return;
  const { _handle: handle } = socket as Internals;
  if (handle === null || !('getpeername' in handle) || !('getsockname' in handle)) return;
  const { remoteAddress } = socket;
  if (remoteAddress === undefined) return;
  countConnection();
  stateOf(socket);
  if (own.mayMeet((directory) => isNeighbour(remoteAddress) || directory.anybodyAt(remoteAddress))) {
    near.add(socket);
    // An HTTP/2 session reads the handle for good, where it is one that it can read.
    if (server.constructor.name === 'Http2Server') {
      hideHandle(handle);
      readsSocket(socket);
    }
  }
  own.accepted(socket);
}

function hideHandle(handle: object): void {
  Object.defineProperty(handle, 'isStreamBase', { value: false, configurable: true });
}

const advertised = new WeakMap<net.Server, () => void>();

function advertise(own: OwnRegion, server: net.Server): void {
  const address = server.address();
  // The primary of a cluster listens for its workers, and has given its handle away by now.
  if (address === null || typeof address === 'string') return;
  let withdrawn = false;
  withdraw(server);
  advertised.set(server, () => {
    withdrawn = true;
  });
  own.begin((participant) => {
    if (withdrawn || participant === null) return;
    advertised.set(server, participant.advertise(serviceOf(address.address, address.port)));
  });
}

function withdraw(server: net.Server): void {
  advertised.get(server)?.();
  advertised.delete(server);
}
