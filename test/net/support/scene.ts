import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { createServer as createHost } from '../../../src/host/index.ts';
import { open, type Region } from '../../../src/index.ts';
import { connect, type Socket } from '../../../src/net/index.ts';
import { until } from '../../support/protocol/until.ts';

const PROGRAM = fileURLToPath(new URL('peer-program.ts', import.meta.url));

/** The other process. */
export interface Peer {
  readonly child: ChildProcess;
  readonly echo: number;
  readonly slow: number;
  readonly said: Record<string, unknown>[];
  /** Resolves when it has done it. */
  tell(what: string): Promise<void>;
}

export interface Scene {
  readonly host: Awaited<ReturnType<typeof createHost>>;
  readonly region: Region;
  readonly peer: Peer;
  /** A connection to the peer, once it is on shared memory. */
  shared(port: number, options?: object): Promise<Socket>;
}

let scenes = 0;

/** A server of a region of some shape, this process as a member, and another process with servers on loopback. */
export async function setScene(t: Test, seed = 1, shape: object = {}): Promise<Scene> {
  const socket = `@ivshmem-net-${process.pid}-${scenes++}`;
  const host = await createHost({ regions: [{ name: 'net', socket, size: 64 << 20, ...shape }] });
  const region = await open({ socket, name: 'here', addresses: ['127.0.0.1'] });
  const peer = await startPeer(socket, 'there', seed);
  t.teardown(async () => {
    peer.child.kill('SIGKILL');
    await region.close();
    await host.close();
  });
  const shared = async (port: number, options: object = {}): Promise<Socket> => {
    const socket = connect({ port, host: '127.0.0.1', region, ...options });
    socket.on('error', () => {});
    await until('shared memory', () => socket.path === 'shared-memory', 20);
    return socket;
  };
  return { host, region, peer, shared };
}

async function startPeer(socket: string, name: string, seed: number): Promise<Peer> {
  const child = spawn(process.execPath, ['--import', 'tsx', PROGRAM, socket, name, `${seed}`], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  const said: Record<string, unknown>[] = [];
  child.on('message', (message) => said.push(message as Record<string, unknown>));
  await until('the peer', () => said.length > 0, 60);
  const { echo, slow } = said[0] as { echo: number; slow: number };
  const tell = async (what: string): Promise<void> => {
    const before = said.length;
    child.send(what);
    await until(what, () => said.slice(before).some(({ did }) => did === what));
  };
  return { child, echo, slow, said, tell };
}
