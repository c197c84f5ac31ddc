import { subscribe } from 'node:diagnostics_channel';
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Region } from '../../channel/index.ts';
import { open } from '../../channel/open.ts';
import * as ivshmem from '../../net/index.ts';

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

/** The module of a contestant; with `ivshmem/net` this process joins a region first, under the name `member`. */
export async function moduleOf(
  name: ModuleName,
  region: string,
  member: string,
  addresses: string[],
): Promise<SocketModule> {
  if (name === 'net') return plain;
  const own = addresses.length === 0 ? {} : { addresses };
  return moduleOver(await open({ ...placeOf(region), ...own, name: member }));
}

/** Where a region is: the socket of a server, the PCI address of a device, or '' for this machine's only device. */
export function placeOf(region: string): { socket?: string; address?: string } {
  if (region === '') return {};
  return /^[/@]/.test(region) ? { socket: region } : { address: region };
}

/** `ivshmem/net` with the region that this process has joined. */
export async function moduleOver(region: Region): Promise<SocketModule> {
  await ivshmem.setRegion(region);
  const fallbacks = new Map<number, string[]>();
  onPathChange(({ path, reason, localPort }) => {
    if (path === 'tcp' && localPort !== undefined)
      fallbacks.set(localPort, [...(fallbacks.get(localPort) ?? []), reason]);
  });
  return {
    name: 'ivshmem/net',
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
