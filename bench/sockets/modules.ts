import { subscribe } from 'node:diagnostics_channel';
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { open } from '../../src/index.ts';
import * as ivshmem from '../../src/net/index.ts';

/** What both modules have, and all that the measuring programs use of them. */
export interface SocketModule {
  readonly name: ModuleName;
  connect(options: net.NetConnectOpts): net.Socket;
  createServer(options: net.ServerOpts, listener: (socket: net.Socket) => void): net.Server;
  /** Resolves when what this side sends goes the way that is to be measured. @throws Error when it does not within 10 s. */
  onPath(socket: net.Socket): Promise<void>;
  /** Times that a connection of this process went back to TCP. */
  fallbacks(): number;
}

export type ModuleName = 'net' | 'ivshmem/net';

const plain: SocketModule = {
  name: 'net',
  connect: (options) => net.connect(options),
  createServer: (options, listener) => net.createServer(options, listener),
  onPath: async () => {},
  fallbacks: () => 0,
};

const LIMIT_MS = 10_000;

/**
 * The module of a contestant. With `ivshmem/net` this process joins a region first: of the server at `region`, or, when that is
 * empty, of this machine's device.
 */
export async function moduleOf(
  name: ModuleName,
  region: string,
  member: string,
  addresses: string[],
): Promise<SocketModule> {
  if (name === 'net') return plain;
  const device = region === '' ? {} : { socket: region };
  const own = addresses.length === 0 ? {} : { addresses };
  await ivshmem.setRegion(await open({ ...device, ...own, name: member }));
  return {
    name,
    connect: (options) => ivshmem.connect(options),
    createServer: (options, listener) => ivshmem.createServer(options, listener),
    onPath: async (socket) => {
      const { path } = watch(socket);
      const deadline = performance.now() + LIMIT_MS;
      while (path() !== 'shared-memory') {
        if (socket.destroyed) throw new Error('closed before it was on shared memory');
        if (performance.now() > deadline)
          throw new Error(`on ${path()} for 10 s: ${(socket as ivshmem.Socket).pathReason}`);
        await delay(1);
      }
    },
    fallbacks: () => ivshmem.counters().toTcp,
  };
}

const watch = (socket: net.Socket) => ({ path: () => (socket as ivshmem.Socket).path });

/** Calls `changed` whenever a connection of this process changes its path, with the local port. */
export function onPathChange(changed: (path: ivshmem.PathMessage['path'], localPort?: number) => void): void {
  subscribe('ivshmem:net.path', (message) => {
    const { path, localPort } = message as ivshmem.PathMessage;
    changed(path, localPort);
  });
}
