import net from 'node:net';
import { type PathMessage, tellPath } from './counters.ts';
import { Link, type LinkHost } from './link.ts';
import type { Tuple } from './messages.ts';
import type { Participant } from './participant.ts';
import type { Reason } from './reasons.ts';

export interface SocketOptions extends net.SocketConstructorOpts {
  /** False: this socket stays on TCP. */
  readonly sharedMemory?: boolean;
}

/** What node:net calls of its own sockets, and this class therefore has to answer. It is the same in Node 20, 22 and 24. */
interface Internals {
  _handle: Handle | null;
  resetAndClosing?: boolean;
  _unrefTimer(): void;
  _getpeername(): object;
  _getsockname(): object;
  _read(size: number): void;
  _write(chunk: Buffer | string, encoding: BufferEncoding, callback: Callback): void;
  _writev(chunks: Chunk[], callback: Callback): void;
  _final(callback: Callback): void;
  _destroy(error: Error | null, callback: Callback): void;
}

interface Handle {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  onread: unknown;
  /** The HTTP parser reads from the handle itself. */
  readonly _consumed?: boolean;
  close(callback: () => void): void;
  reset(callback: () => void): number;
}

type Callback = (error?: Error | null) => void;
type Chunk = { chunk: Buffer | string; encoding: BufferEncoding };

const plain = net.Socket.prototype as unknown as Internals;
const toBuffer = (chunk: Buffer | string, encoding: BufferEncoding): Uint8Array =>
  typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;

/** What a socket has beyond TCP; absent while it is nothing but a socket of node:net. */
export interface SocketState {
  link: Link | null;
  path: 'tcp' | 'shared-memory';
  reason: Reason;
  participant: Participant | null;
  peername: object;
  sockname: object;
}

const STATE = Symbol('ivshmem:net.state');

/**
 * A socket of node:net. Until it is known that its peer takes part it is exactly that; then the TCP handle goes to an inner socket, and
 * this one reads and writes through a Link: so whoever looks for a handle to take over (the HTTP parser, TLS) finds none.
 */
export class Socket extends net.Socket {
  /** Options that the constructor was given. */
  readonly sharedMemory: boolean;

  constructor(options: SocketOptions = {}) {
    super(options);
    // Bytes that node:net puts into the caller's own buffer never pass by here.
    this.sharedMemory =
      options.sharedMemory !== false && (options as { onread?: unknown }).onread === undefined;
  }

  /** Which way what this side sends goes now. */
  get path(): 'tcp' | 'shared-memory' {
    return stateOf(this).path;
  }

  /** Why it goes over TCP; 'none' when nothing was tried yet, or when it does not. */
  get pathReason(): Reason {
    return stateOf(this).reason;
  }

  override setNoDelay(noDelay?: boolean): this {
    linkOf(this)?.tcpSocket.setNoDelay(noDelay);
    return super.setNoDelay(noDelay);
  }

  override setKeepAlive(enable?: boolean, initialDelay = 0): this {
    linkOf(this)?.tcpSocket.setKeepAlive(enable, initialDelay);
    return super.setKeepAlive(enable, initialDelay);
  }

  override ref(): this {
    const link = linkOf(this);
    if (link === null) return super.ref();
    link.tcpSocket.ref();
    return this;
  }

  override unref(): this {
    const link = linkOf(this);
    if (link === null) return super.unref();
    link.tcpSocket.unref();
    return this;
  }

  override resetAndDestroy(): this {
    if (linkOf(this) === null) return super.resetAndDestroy();
    (this as unknown as Internals).resetAndClosing = true;
    return this.destroy();
  }

  override _read(size: number): void {
    const link = linkOf(this);
    if (link === null) plain._read.call(this, size);
    else link.readMore();
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, callback: Callback): void {
    const link = linkOf(this);
    if (link === null) {
      plain._write.call(this, chunk, encoding, callback);
      return;
    }
    touch(this);
    link.session.write([toBuffer(chunk, encoding)], typeof chunk === 'string', callback);
  }

  override _writev(chunks: Chunk[], callback: Callback): void {
    const link = linkOf(this);
    if (link === null) {
      plain._writev.call(this, chunks, callback);
      return;
    }
    touch(this);
    const parts = chunks.map(({ chunk, encoding }) => toBuffer(chunk, encoding));
    link.session.write(
      parts,
      chunks.every(({ chunk }) => typeof chunk === 'string'),
      callback,
    );
  }

  override _final(callback: Callback): void {
    const link = linkOf(this);
    if (link === null) plain._final.call(this, callback);
    // Never in the same turn of the loop: a kernel's shutdown is not either, and programs see the difference.
    else link.session.fin(() => setImmediate(callback));
  }

  override _destroy(error: Error | null, callback: Callback): void {
    const link = linkOf(this);
    if (link !== null)
      (this as unknown as Internals)._handle = closingHandle(
        link,
        error,
        (this as unknown as Internals).resetAndClosing === true,
      );
    plain._destroy.call(this, error, callback);
  }

  _getpeername(): object {
    return linkOf(this) === null ? plain._getpeername.call(this) : stateOf(this).peername;
  }

  _getsockname(): object {
    return linkOf(this) === null ? plain._getsockname.call(this) : stateOf(this).sockname;
  }
}

// As accessors, which the declarations of node:net have as plain properties.
const countsOf = (name: 'bytesRead' | '_bytesDispatched', count: (link: Link) => number): void => {
  const own = Object.getOwnPropertyDescriptor(net.Socket.prototype, name)!.get!;
  Object.defineProperty(Socket.prototype, name, {
    configurable: true,
    get(this: Socket): unknown {
      const link = linkOf(this);
      return link === null || this.destroyed ? own.call(this) : count(link);
    },
  });
};
const pending = Object.getOwnPropertyDescriptor(net.Socket.prototype, 'pending')!.get!;
Object.defineProperty(Socket.prototype, 'pending', {
  configurable: true,
  get(this: Socket): boolean {
    return linkOf(this) === null ? (pending.call(this) as boolean) : this.connecting;
  },
});
countsOf('bytesRead', ({ session }) => session.inbound.received);
countsOf('_bytesDispatched', ({ session }) => session.outbound.sent);

type WithState = { [STATE]?: SocketState };

export function stateOf(socket: net.Socket): SocketState {
  const holder = socket as WithState;
  holder[STATE] ??= {
    link: null,
    path: 'tcp',
    reason: 'none',
    participant: null,
    peername: {},
    sockname: {},
  };
  return holder[STATE];
}

const linkOf = (socket: net.Socket): Link | null => (socket as WithState)[STATE]?.link ?? null;
const touch = (socket: net.Socket): void => (socket as unknown as Internals)._unrefTimer();

/** The connection as its own side sees it. */
export function tupleOf(socket: net.Socket): Tuple | null {
  const { localAddress, localPort, remoteAddress, remotePort } = socket;
  if (localAddress === undefined || localPort === undefined) return null;
  if (remoteAddress === undefined || remotePort === undefined) return null;
  return { localAddress, localPort, remoteAddress, remotePort };
}

/** The path, or the reason for it, changed. */
export function setPath(socket: net.Socket, path: 'tcp' | 'shared-memory', reason: Reason): void {
  const state = stateOf(socket);
  const before = state.path;
  state.path = path;
  state.reason = reason;
  const { localAddress, localPort, remoteAddress, remotePort } = socket;
  const message = (): PathMessage => ({
    region: state.participant?.region?.header.name ?? null,
    path,
    reason,
    localAddress,
    localPort,
    remoteAddress,
    remotePort,
  });
  tellPath(before, message, path, reason);
}

/** Why a socket cannot have another path, or null. */
export function obstacleOf(socket: Socket): Reason | null {
  const link = linkOf(socket);
  if (socket.destroyed) return 'half-closed';
  if (link !== null) return link.session.obstacle;
  const handle = (socket as unknown as Internals)._handle;
  if (!socket.sharedMemory || handle === null || handle === undefined) return 'not-taking-part';
  // TLS has defined `reading` anew on a handle it reads from.
  const taken = handle._consumed === true || Object.getOwnPropertyDescriptor(handle, 'reading')?.get;
  if (taken || !('getpeername' in handle)) return 'not-taking-part';
  return socket.writableEnded || socket.readableEnded || !socket.readable ? 'half-closed' : null;
}

/** Puts a link under a socket, if there is none; `obstacleOf` was null. */
export function linkUnder(socket: Socket): Link {
  const state = stateOf(socket);
  if (state.link !== null) return state.link;
  const self = socket as unknown as Internals;
  const handle = self._handle!;
  state.peername = plain._getpeername.call(self);
  state.sockname = plain._getsockname.call(self);
  const { bytesRead, bytesWritten } = handle;
  self._handle = null;
  const options = { handle, allowHalfOpen: true, manualStart: true };
  const tcp = new net.Socket(options as net.SocketConstructorOpts);
  if (socket.readableLength >= socket.readableHighWaterMark) tcp.pause();
  state.link = new Link(tcp, hostOf(socket), bytesWritten, bytesRead);
  return state.link;
}

function hostOf(socket: Socket): LinkHost {
  return {
    received(bytes) {
      touch(socket);
      return socket.push(bytes);
    },
    receivedAll() {
      socket.push(null);
      // As node:net does: the end is seen also by who has nothing to read.
      socket.read(0);
    },
    unread: () => socket.readableLength,
    failed: (error) => void socket.destroy(error),
    reset: () => void socket.destroy(connectionReset()),
    pathChanged(path, reason) {
      if (path === 'shared-memory') stateOf(socket).participant?.attached(socket);
      setPath(socket, path, reason);
    },
    idle: () => stateOf(socket).participant?.idle(socket),
  };
}

/** The error that the kernel's own reset would be. */
function connectionReset(): Error {
  return Object.assign(new Error('read ECONNRESET'), { errno: -104, code: 'ECONNRESET', syscall: 'read' });
}

/** What node:net's own _destroy closes in place of the handle. */
function closingHandle(link: Link, error: Error | null, reset: boolean): Handle {
  const { inbound, outbound } = link.session;
  const { tcpSocket } = link;
  const close = (callback: () => void): void => {
    link.close(error === null && !reset);
    // After the error, as with a handle.
    if (tcpSocket.closed) setImmediate(callback);
    else tcpSocket.once('close', callback);
  };
  return {
    bytesRead: inbound.received,
    bytesWritten: outbound.sent,
    onread: null,
    close(callback) {
      if (error === null && !reset && link.linger()) {
        link.close(false);
        setImmediate(callback);
        return;
      }
      close(callback);
      tcpSocket.destroy();
    },
    reset(callback) {
      close(callback);
      tcpSocket.resetAndDestroy();
      return 0;
    },
  };
}
