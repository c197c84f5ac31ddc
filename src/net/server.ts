import net from 'node:net';
import type { Region } from '../channel/index.ts';
import { countConnection } from './counters.ts';
import { serviceOf } from './directory.ts';
import { participantOf } from './regions.ts';
import { Socket, setPath } from './socket.ts';

export interface ServerOptions extends net.ServerOpts {
  /** The region to be reached through; the one of `setRegion` unless given, none with null. */
  readonly region?: Region | null;
}

/** A server of node:net whose connections are Sockets, and whose address the members of the region are told. */
export class Server extends net.Server {
  readonly #region: Region | null | undefined;
  #withdraw: (() => void) | null = null;

  constructor(options?: ServerOptions | ((socket: Socket) => void), listener?: (socket: Socket) => void) {
    const given = typeof options === 'function' ? {} : (options ?? {});
    const { region, ...rest } = given;
    super(rest);
    this.#region = region;
    const onConnection = typeof options === 'function' ? options : listener;
    if (onConnection !== undefined) this.on('connection', onConnection as (socket: net.Socket) => void);
  }

  override emit(event: string | symbol, ...values: unknown[]): boolean {
    if (event === 'connection' && values[0] instanceof net.Socket) this.#adopt(values[0]);
    if (event === 'listening') this.#advertise();
    return super.emit(event, ...values);
  }

  override close(callback?: (error?: Error) => void): this {
    this.#withdraw?.();
    this.#withdraw = null;
    return super.close(callback);
  }

  #advertise(): void {
    const address = this.address();
    const participant = participantOf(this.#region);
    if (participant === null || address === null || typeof address === 'string') return;
    this.#withdraw?.();
    this.#withdraw = participant.advertise(serviceOf(address.address, address.port));
  }

  /** node:net makes its own sockets; nothing distinguishes them from ours but their class. */
  #adopt(socket: net.Socket): void {
    if (socket instanceof Socket) return;
    Object.setPrototypeOf(socket, Socket.prototype);
    const adopted = Object.assign(socket as Socket, { sharedMemory: true });
    countConnection();
    const participant = participantOf(this.#region);
    if (participant === null || typeof this.address() === 'string')
      setPath(adopted, 'tcp', participant === null ? 'no-region' : 'not-taking-part');
    else participant.accepted(adopted);
  }
}

export function createServer(
  options?: ServerOptions | ((socket: Socket) => void),
  listener?: (socket: Socket) => void,
): Server {
  return new Server(options, listener);
}
