import type net from 'node:net';
import type { Region } from '../channel/index.ts';
import { countConnection } from './counters.ts';
import { participantOf } from './regions.ts';
import { Socket, type SocketOptions, setPath } from './socket.ts';
import { forget, onceConnected } from './socket-state.ts';

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
  const options = optionsOf(values);
  const socket = new Socket(options);
  if (options.timeout) socket.setTimeout(options.timeout);
  return (socket.connect as (...all: unknown[]) => Socket)(...values);
}

/** What they were told when they were connected first. */
const regions = new WeakMap<Socket, Region | null>();
const connectPlainly = Socket.prototype.connect as (...values: unknown[]) => Socket;

/** Here and not in the class: what it takes part in knows of the class. A program may make sockets of its own, and connect one again. */
Object.defineProperty(Socket.prototype, 'connect', {
  value(this: Socket, ...values: unknown[]): Socket {
    const { region } = optionsOf(values);
    if (region !== undefined) regions.set(this, region);
    const participant = participantOf(regions.get(this));
    if (this.destroyed) forget(this);
    countConnection();
    onceConnected(this, () => {
      if (participant === null) setPath(this, 'tcp', 'no-region');
      else if (!this.sharedMemory || this.remotePort === undefined) setPath(this, 'tcp', 'not-taking-part');
      else participant.connected(this);
    });
    return connectPlainly.apply(this, values);
  },
  writable: true,
  configurable: true,
});

function optionsOf([first]: unknown[]): Partial<ConnectOptions> {
  return typeof first === 'object' && first !== null ? first : {};
}
