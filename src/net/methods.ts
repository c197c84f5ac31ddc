import net from 'node:net';
import { type Callback, closingHandle, type Handle } from './handle.ts';
import type { Link } from './link.ts';
import { forget, isKnown, linkOf, stateOf } from './socket-state.ts';
import { inTurn } from './turns.ts';

/** What node:net calls of its own sockets, and a socket with a link has to answer. It is the same in Node 20, 22 and 24. */
export interface Internals extends net.Socket {
  _handle: Handle | null;
  resetAndClosing?: boolean;
  _unrefTimer(): void;
  _getpeername(): object;
  _getsockname(): object;
}

type Chunk = { chunk: Buffer | string; encoding: BufferEncoding };
type Method = (this: Internals, ...values: never[]) => unknown;

const names = [
  ...['connect', 'setNoDelay', 'setKeepAlive', 'ref', 'unref', 'resetAndDestroy'],
  ...['_read', '_write', '_writev', '_final', '_destroy', '_onTimeout', '_getpeername', '_getsockname'],
] as const;
/** The methods of node:net as they were when this module was loaded: later they may be ours. */
const plain = Object.fromEntries(
  names.map((name) => [name, Reflect.get(net.Socket.prototype, name) as unknown]),
) as Readonly<Record<string, (...values: unknown[]) => unknown>>;
const getter = (name: string): (() => unknown) =>
  Object.getOwnPropertyDescriptor(net.Socket.prototype, name)!.get!;
const plainGetters = {
  bytesRead: getter('bytesRead'),
  _bytesDispatched: getter('_bytesDispatched'),
  pending: getter('pending'),
  bufferSize: getter('bufferSize'),
};

const toBuffer = (chunk: Buffer | string, encoding: BufferEncoding): Uint8Array =>
  typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;

/** The callback of a write that may take the loop's turns: of a socket that others may want to talk about. */
function turning(socket: net.Socket, bytes: number, callback: Callback): Callback {
  if (!isKnown(socket) || stateOf(socket).participant === null) return callback;
  return (error) => {
    if (error) callback(error);
    else inTurn(bytes, () => callback());
  };
}

/** What node:net itself would do. */
export const plainly = (name: string, socket: net.Socket, ...values: unknown[]): unknown =>
  plain[name]!.apply(socket, values);

/** Those of a socket that may have a link; without one they are node:net's. */
const methods: Record<string, Method> = {
  connect(...values: unknown[]): unknown {
    // A socket may be used for one connection after the other.
    if (this.destroyed) forget(this);
    return plainly('connect', this, ...values);
  },

  setNoDelay(noDelay?: boolean): unknown {
    linkOf(this)?.tcpSocket.setNoDelay(noDelay);
    return plainly('setNoDelay', this, noDelay);
  },

  setKeepAlive(enable?: boolean, initialDelay = 0): unknown {
    linkOf(this)?.tcpSocket.setKeepAlive(enable, initialDelay);
    return plainly('setKeepAlive', this, enable, initialDelay);
  },

  ref(): unknown {
    const link = linkOf(this);
    if (link === null) return plainly('ref', this);
    link.tcpSocket.ref();
    return this;
  },

  unref(): unknown {
    const link = linkOf(this);
    if (link === null) return plainly('unref', this);
    link.tcpSocket.unref();
    return this;
  },

  resetAndDestroy(): unknown {
    if (linkOf(this) === null) return plainly('resetAndDestroy', this);
    this.resetAndClosing = true;
    return this.destroy();
  },

  _read(size: number): void {
    const link = linkOf(this);
    if (link === null) plainly('_read', this, size);
    else link.readMore();
  },

  _write(chunk: Buffer | string, encoding: BufferEncoding, callback: Callback): void {
    const link = linkOf(this);
    if (link === null) {
      plainly('_write', this, chunk, encoding, turning(this, chunk.length, callback));
      return;
    }
    this._unrefTimer();
    link.session.write([toBuffer(chunk, encoding)], typeof chunk === 'string', callback);
  },

  _writev(chunks: Chunk[], callback: Callback): void {
    const link = linkOf(this);
    if (link === null) {
      const bytes = chunks.reduce((sum, { chunk }) => sum + chunk.length, 0);
      plainly('_writev', this, chunks, turning(this, bytes, callback));
      return;
    }
    this._unrefTimer();
    const parts = chunks.map(({ chunk, encoding }) => toBuffer(chunk, encoding));
    link.session.write(
      parts,
      chunks.every(({ chunk }) => typeof chunk === 'string'),
      callback,
    );
  },

  _final(callback: Callback): void {
    const link = linkOf(this);
    if (link === null) plainly('_final', this, callback);
    // Never in the same turn of the loop: a kernel's shutdown is not either, and programs see the difference.
    else link.session.fin(() => setImmediate(callback));
  },

  _destroy(error: Error | null, callback: Callback): void {
    const link = linkOf(this);
    if (link !== null) this._handle = closingHandle(link, error, this.resetAndClosing === true);
    plainly('_destroy', this, error, callback);
  },

  _onTimeout(): void {
    // As node:net: who waits for a kernel that takes what was written is not idle.
    if (linkOf(this)?.tcpMoves() === true) this._unrefTimer();
    else plainly('_onTimeout', this);
  },

  _getpeername(): unknown {
    return linkOf(this) === null ? plainly('_getpeername', this) : stateOf(this).peername;
  },

  _getsockname(): unknown {
    if (linkOf(this) === null) return plainly('_getsockname', this);
    return this.destroyed ? {} : stateOf(this).sockname;
  },
};

const counted = (name: 'bytesRead' | '_bytesDispatched', count: (link: Link) => number) =>
  function (this: net.Socket): unknown {
    const link = linkOf(this);
    return link === null || this.destroyed ? plainGetters[name].call(this) : count(link);
  };

const getters: Record<string, (this: net.Socket) => unknown> = {
  bytesRead: counted('bytesRead', ({ session }) => session.inbound.received),
  _bytesDispatched: counted('_bytesDispatched', ({ session }) => session.outbound.written),
  pending() {
    return linkOf(this) === null ? plainGetters.pending.call(this) : this.connecting;
  },
  bufferSize() {
    if (linkOf(this) === null) return plainGetters.bufferSize.call(this);
    return this.destroyed ? undefined : this.writableLength;
  },
};

/** Gives a prototype, node:net's own or one that inherits from it, what a socket with a link needs. */
export function equip(prototype: object): void {
  for (const [name, value] of Object.entries(methods))
    Object.defineProperty(prototype, name, { value, writable: true, configurable: true });
  defineGetters(prototype);
}

/** Gives one socket what its prototype could not be given: some accessors of node:net's own cannot be defined anew. */
export function equipOne(socket: net.Socket): void {
  if (!equipped.has(Object.getPrototypeOf(socket))) defineGetters(socket);
}

const equipped = new WeakSet<object>();

function defineGetters(object: object): void {
  let all = true;
  for (const [name, get] of Object.entries(getters)) {
    if (Object.getOwnPropertyDescriptor(object, name)?.configurable === false) all = false;
    else Object.defineProperty(object, name, { get, configurable: true });
  }
  if (all) equipped.add(object);
}
