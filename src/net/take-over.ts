import net from 'node:net';
import { Link, type LinkHost } from './link.ts';
import { equipOne, type Internals, plainly } from './methods.ts';
import type { Reason } from './reasons.ts';
import type { Socket } from './socket.ts';
import { linkOf, setPath, stateOf } from './socket-state.ts';

/** What the HTTP server leaves on a socket whose handle its parser reads from. */
interface Parsed {
  readonly parser?: { readonly _consumed?: boolean } | null;
}

const symbolNamed = (socket: net.Socket, name: string): symbol | undefined =>
  Object.getOwnPropertySymbols(socket).find(({ description }) => description === name);
const kBuffer = symbolNamed(new net.Socket(), 'kBuffer');

/** Why a socket cannot have another path, or null. */
export function obstacleOf(socket: net.Socket): Reason | null {
  const link = linkOf(socket);
  if (socket.destroyed) return 'half-closed';
  if (link !== null) return link.obstacle;
  if (!mayTakePart(socket)) return 'not-taking-part';
  return socket.writableEnded || socket.readableEnded || !socket.readable ? 'half-closed' : null;
}

/** Whether this socket is ours to take its handle. */
function mayTakePart(socket: net.Socket): boolean {
  const { _handle: handle } = socket as Internals;
  if ((socket as { sharedMemory?: boolean }).sharedMemory === false) return false;
  if (handle === null || handle === undefined || !('getpeername' in handle)) return false;
  // Bytes that node:net puts into the caller's own buffer (`onread`) never pass by here.
  if (kBuffer !== undefined && (socket as unknown as Record<symbol, unknown>)[kBuffer]) return false;
  // TLS has defined `reading` anew on a handle it reads from.
  if (Object.getOwnPropertyDescriptor(handle, 'reading')?.get !== undefined) return false;
  if (!readBySockets.has(socket) && isReadByHttp2(socket)) return false;
  return !isParsed(socket) || socket.on !== net.Socket.prototype.on;
}

/** Those whose session was made to read the socket, and not its handle. */
const readBySockets = new WeakSet<net.Socket>();

export function readsSocket(socket: net.Socket): void {
  readBySockets.add(socket);
}

/** An HTTP/2 session leaves itself on the socket whose handle it reads: by a symbol, or, as Node 20 to 24 do, by the name "undefined". */
function isReadByHttp2(socket: net.Socket): boolean {
  const own = socket as unknown as Record<string | symbol, object | null | undefined>;
  const sessions = [...Object.getOwnPropertySymbols(socket), 'undefined'].map((key) => own[key]);
  return sessions.some((value) => /^(Client|Server)Http2Session$/.test(value?.constructor?.name ?? ''));
}

const isParsed = (socket: net.Socket): boolean => (socket as Parsed).parser?._consumed === true;

/**
 * The parser of an HTTP server reads from the handle until somebody else wants to read the socket: then node:http lets go of the handle
 * and feeds the parser what the socket gives. It is told so by a listener.
 */
function releaseFromParser(socket: net.Socket): void {
  if (!isParsed(socket)) return;
  const nobody = (): void => {};
  socket.on('data', nobody);
  socket.removeListener('data', nobody);
}

/** Puts a link under a socket, if there is none; `obstacleOf` was null. */
export function linkUnder(socket: net.Socket): Link {
  const state = stateOf(socket);
  if (state.link !== null) return state.link;
  releaseFromParser(socket);
  const self = socket as Internals;
  const handle = self._handle!;
  state.peername = plainly('_getpeername', self) as object;
  state.sockname = plainly('_getsockname', self) as object;
  const { bytesRead, bytesWritten } = handle;
  self._handle = null;
  const options = { handle, allowHalfOpen: true, manualStart: true };
  const tcp = new net.Socket(options as net.SocketConstructorOpts);
  if (socket.readableLength >= socket.readableHighWaterMark) tcp.pause();
  equipOne(socket);
  state.link = new Link(tcp, hostOf(socket), bytesWritten, bytesRead);
  return state.link;
}

function hostOf(socket: net.Socket): LinkHost {
  return {
    received(bytes) {
      (socket as Internals)._unrefTimer();
      return socket.push(bytes);
    },
    receivedAll() {
      socket.push(null);
      // As node:net does: the end is seen also by who has nothing to read.
      socket.read(0);
    },
    unread: () => socket.readableLength,
    moves: () => (socket as Internals)._unrefTimer(),
    failed: (error) => void socket.destroy(error),
    reset: () => void socket.destroy(connectionReset()),
    pathChanged(path, reason) {
      if (path === 'shared-memory') stateOf(socket).participant?.attached(socket as Socket);
      setPath(socket, path, reason);
    },
    idle: () => stateOf(socket).participant?.idle(socket as Socket),
    pressed: () => stateOf(socket).participant?.pressed(socket as Socket),
  };
}

/** The error that the kernel's own reset would be. */
function connectionReset(): Error {
  return Object.assign(new Error('read ECONNRESET'), { errno: -104, code: 'ECONNRESET', syscall: 'read' });
}
