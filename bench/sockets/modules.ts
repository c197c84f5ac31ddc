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
  /** Resolves when what this side sends goes the way that is to be measured. @throws Error when it does not within 30 s. */
  onPath(socket: net.Socket): Promise<void>;
  /** Why this connection of ours went to TCP, each time since it was connected. */
  fallbacks(socket: net.Socket): readonly string[];
}

export type ModuleName = 'net' | 'ivshmem/net';

const plain: SocketModule = {
  name: 'net',
  connect: (options) => net.connect(options),
  createServer: (options, listener) => net.createServer(options, listener),
  onPath: async () => {},
  fallbacks: () => [],
};

/** Far above any handshake, so that a connection that stays on TCP is told from a busy machine. */
const LIMIT_MS = 30_000;

/**
 * The module of a contestant. With `ivshmem/net` this process joins a region first: of the server whose socket is `region`, or of the
 * device at the PCI address `region`.
 */
export async function moduleOf(
  name: ModuleName,
  region: string,
  member: string,
  addresses: string[],
): Promise<SocketModule> {
  if (name === 'net') return plain;
  const device = region.startsWith('/') ? { socket: region } : { address: region };
  const own = addresses.length === 0 ? {} : { addresses };
  await ivshmem.setRegion(await open({ ...device, ...own, name: member }));
  const fallbacks = new Map<number, string[]>();
  onPathChange(({ path, reason, localPort }) => {
    if (path === 'tcp' && localPort !== undefined)
      fallbacks.set(localPort, [...(fallbacks.get(localPort) ?? []), reason]);
  });
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
          throw new Error(`on ${path()} for 30 s: ${(socket as ivshmem.Socket).pathReason}`);
        await delay(1);
      }
    },
    fallbacks: (socket) => fallbacks.get(socket.localPort ?? 0) ?? [],
  };
}

const watch = (socket: net.Socket) => ({ path: () => (socket as ivshmem.Socket).path });

/** Calls `changed` whenever a connection of this process changes its path, or the reason for it. */
export function onPathChange(changed: (message: ivshmem.PathMessage) => void): void {
  subscribe('ivshmem:net.path', (message) => changed(message as ivshmem.PathMessage));
}
