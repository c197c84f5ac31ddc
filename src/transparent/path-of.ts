import type { Socket } from 'node:net';
import type { Reason } from '../net/reasons.ts';
import { isKnown, stateOf } from '../net/socket-state.ts';
import { lowerOf } from './lower.ts';

/** Which way a connection goes. */
export interface Path {
  readonly path: 'tcp' | 'shared-memory';
  /** Why TCP; 'none' on shared memory, and before anything was tried. */
  readonly reason: Reason;
}

/** The path of any socket of node:net, of node:tls too, and of those that node:http and node:http2 give. */
export function pathOf(socket: Socket): Path {
  // What an HTTP/2 session shows is a proxy of its socket.
  const { _parent } = socket as { _parent?: unknown };
  const { path, reason } = stateOf(lowerOf(socket) ?? (isKnown(_parent) ? _parent : socket));
  return { path, reason };
}
