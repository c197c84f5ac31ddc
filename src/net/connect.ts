import net from 'node:net';
import type { Region } from '../channel/index.ts';
import { countConnection } from './counters.ts';
import { participantOf } from './regions.ts';
import { Socket, type SocketOptions, setPath } from './socket.ts';

/** The options of node:net's connect, and where the peer is looked for. */
export type ConnectOptions = net.NetConnectOpts &
  SocketOptions & {
    /** The region of `setRegion` unless given; none with null. */
    readonly region?: Region | null;
  };

type Listener = () => void;

/** As net.connect: to a port and host, with options, or to a path (which is a UNIX socket, and stays one). */
export function connect(options: ConnectOptions, listener?: Listener): Socket;
export function connect(port: number, host?: string, listener?: Listener): Socket;
export function connect(port: number, listener?: Listener): Socket;
export function connect(path: string, listener?: Listener): Socket;
export function connect(...values: unknown[]): Socket {
  const options = (typeof values[0] === 'object' ? values[0] : {}) as ConnectOptions;
  const socket = new Socket(options);
  if (options.timeout) socket.setTimeout(options.timeout);
  countConnection();
  const participant = participantOf(options.region);
  socket.once('connect', () => {
    if (participant === null) setPath(socket, 'tcp', 'no-region');
    else if (!socket.sharedMemory || socket.remotePort === undefined)
      setPath(socket, 'tcp', 'not-taking-part');
    else participant.connected(socket);
  });
  return (net.Socket.prototype.connect as (...all: unknown[]) => Socket).apply(socket, values);
}
