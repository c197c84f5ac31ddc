/** Programs once with node:net and once with this module, on every path there is: what they see is the same. */
import { once } from 'node:events';
import net from 'node:net';
import type { Test } from 'tap';
import { createServer as createHost } from '../../../src/host/index.ts';
import { open, type Region } from '../../../src/index.ts';
import * as shared from '../../../src/net/index.ts';
import { stateOf } from '../../../src/net/socket.ts';
import { until } from '../../support/protocol/until.ts';

export type Net = Pick<typeof net, 'connect' | 'createServer'>;
export type Ready = (socket: net.Socket) => Promise<void>;
export type Program = (trace: Trace, net: Net, ready: Ready) => Promise<void>;

/** What a program saw, in order; data of one side in a row is one entry. */
export class Trace {
  readonly seen: string[] = [];

  watch(who: string, socket: net.Socket): void {
    let bytes = 0;
    const say = (what: string): void => {
      if (bytes > 0) this.seen.push(`${who} data ${bytes}`);
      bytes = 0;
      this.seen.push(`${who} ${what}`);
    };
    socket.on('data', (data) => {
      bytes += data.length;
    });
    socket.on('end', () => say('end'));
    socket.on('finish', () => say('finish'));
    socket.on('timeout', () => say('timeout'));
    socket.on('error', (error: NodeJS.ErrnoException) => say(`error ${error.code}`));
    socket.on('close', (hadError) => {
      over.add(socket);
      say(
        `close ${hadError} ${socket.bytesRead} ${socket.bytesWritten} ${socket.readyState} ${socket.destroyed}`,
      );
    });
  }

  /** What one side saw is up to chance. */
  forget(who: string): void {
    const kept = this.seen.filter((what) => !what.startsWith(who));
    this.seen.splice(0, this.seen.length, ...kept);
  }

  /** By side: what the two sides of a connection do is not ordered between them. */
  bySide(): string[] {
    const of = (who: string) => this.seen.filter((what) => what.startsWith(who));
    return [...of('client'), ...of('server'), ...of('paused')];
  }
}

/** A connection: the client's and the server's socket. */
export async function pair(
  trace: Trace,
  { connect, createServer }: Net,
  ready: Ready,
  serverOptions: net.ServerOpts = {},
  options: object = {},
): Promise<[net.Socket, net.Socket, net.Server]> {
  const server = createServer(serverOptions);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[net.Socket]>;
  const { port } = server.address() as net.AddressInfo;
  const client = connect({ port, host: '127.0.0.1', ...options });
  trace.watch('client', client);
  const [peer] = await accepted;
  trace.watch('server', peer);
  await ready(client);
  return [client, peer, server];
}

/** Resolves when they have said 'close', which is later than `closed`. */
export async function closed(...sockets: net.Socket[]): Promise<void> {
  await until('the end of all', () => sockets.every((socket) => over.has(socket)), 20);
}
const over = new WeakSet<net.Socket>();

const onTcp: Ready = async () => {};
const onSharedMemory: Ready = (socket) =>
  until('shared memory', () => (socket as shared.Socket).path === 'shared-memory', 20);
/** It was on shared memory, and stays on TCP from now on. */
const backOnTcp: Ready = async (socket) => {
  await onSharedMemory(socket);
  const { session } = stateOf(socket).link!;
  session.leave('no-peer');
  await until('TCP', () => session.state === 'none', 20);
};
const declined: Ready = (socket) =>
  until('a refusal', () => (socket as shared.Socket).pathReason === 'not-taking-part', 20);

let regions = 0;

/** A region, and two members of it in this process. */
export async function twoMembers(t: Test): Promise<{ socket: string; here: Region; there: Region }> {
  const socket = `@ivshmem-net-traces-${process.pid}-${regions++}`;
  const host = await createHost({ regions: [{ name: 'traces', socket, size: 64 << 20 }] });
  const here: Region = await open({ socket, name: 'here' });
  const there: Region = await open({ socket, name: 'there' });
  t.teardown(async () => {
    await here.close();
    await there.close();
    await host.close();
  });
  return { socket, here, there };
}

/** Runs each program on node:net, and compares with what it sees on each path. */
export async function compare(t: Test, programs: Readonly<Record<string, Program>>): Promise<void> {
  const { here, there } = await twoMembers(t);
  const within = (client: Region | null, server: Region | null, takesPart = true): Net =>
    ({
      connect: (options: object) => shared.connect({ ...options, region: client } as shared.ConnectOptions),
      createServer: (options: object) => {
        const made = shared.createServer({ ...options, region: server });
        if (!takesPart) made.on('connection', (peer) => Object.assign(peer, { sharedMemory: false }));
        return made;
      },
    }) as unknown as Net;
  const paths = {
    'without a region': [within(null, null), onTcp],
    'on shared memory': [within(here, there), onSharedMemory],
    'back on TCP': [within(here, there), backOnTcp],
    'with a peer that refuses': [within(here, there, false), declined],
  } as const;
  for (const [name, program] of Object.entries(programs)) {
    const wanted = new Trace();
    await program(wanted, net, onTcp);
    for (const [where, [net, ready]] of Object.entries(paths)) {
      const found = new Trace();
      await program(found, net, ready);
      t.same(found.bySide(), wanted.bySide(), `${name}, ${where}`);
    }
  }
}
