import net from 'node:net';
import type { SocketCounts } from '../memory/layout.ts';
import { type PathMessage, tellPath } from './counters.ts';
import type { Link } from './link.ts';
import type { Tuple } from './messages.ts';
import type { Participant } from './participant.ts';
import type { Reason } from './reasons.ts';

/** What a socket has beyond TCP; absent while it is nothing but a socket of node:net. */
export interface SocketState {
  link: Link | null;
  path: 'tcp' | 'shared-memory';
  reason: Reason;
  participant: Participant | null;
  peername: object;
  sockname: object;
  /** Where it is counted. */
  counted: SocketCounts | null;
}

const STATE = Symbol('ivshmem:net.state');
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
    counted: null,
  };
  return holder[STATE];
}

/** Whether `stateOf` was called for it, or it is a socket that was. */
export const isKnown = (socket: unknown): socket is net.Socket =>
  socket instanceof net.Socket && (socket as WithState)[STATE] !== undefined;

export const linkOf = (socket: net.Socket): Link | null => (socket as WithState)[STATE]?.link ?? null;

const connecting = new WeakMap<net.Socket, () => void>();

/** Calls back once a socket is connected, in place of who waits for that since an attempt that failed. */
export function onceConnected(socket: net.Socket, callback: () => void): void {
  const before = connecting.get(socket);
  if (before !== undefined) socket.removeListener('connect', before);
  connecting.set(socket, callback);
  socket.once('connect', callback);
}

/** Before a socket is used for another connection. */
export function forget(socket: net.Socket): void {
  delete (socket as WithState)[STATE];
}

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
  if (path !== before && state.counted !== null)
    state.counted[path === 'tcp' ? 'socketsToTcp' : 'socketsToSharedMemory']++;
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

/** Counts a socket among those of a region's member, and no more where it was; null: nowhere, it is closed or the region is. */
export function countIn(socket: net.Socket, counts: SocketCounts | null): void {
  const state = stateOf(socket);
  const shared = state.path === 'shared-memory';
  const before = state.counted;
  if (before === counts) return;
  state.counted = counts;
  if (before !== null) {
    before.socketsClosed++;
    if (shared) before.socketsToTcp++;
  }
  if (counts === null) return;
  counts.socketsOpened++;
  if (shared) counts.socketsToSharedMemory++;
}
