/** Small programs, once with node:net and once with this module, on TCP and on shared memory: the same events in the same order. */
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { createServer as createHost } from '../../src/host/index.ts';
import { open, type Region } from '../../src/index.ts';
import * as shared from '../../src/net/index.ts';
import { until } from '../support/protocol/until.ts';

type Net = Pick<typeof net, 'connect' | 'createServer'>;
type Ready = (socket: net.Socket) => Promise<void>;
type Program = (trace: Trace, net: Net, ready: Ready) => Promise<void>;

/** What a program saw, in order; data of one side in a row is one entry. */
class Trace {
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

  /** By side: what the two sides of a connection do is not ordered between them. */
  bySide(): string[] {
    const of = (who: string) => this.seen.filter((what) => what.startsWith(who));
    return [...of('client'), ...of('server'), ...of('paused')];
  }
}

/** A connection: the client's and the server's socket. */
async function pair(
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
  await ready(peer);
  return [client, peer, server];
}

/** Resolves when they have said 'close', which is later than `closed`. */
async function closed(...sockets: net.Socket[]): Promise<void> {
  await until('the end of all', () => sockets.every((socket) => over.has(socket)), 20);
}
const over = new WeakSet<net.Socket>();

const programs: Record<string, Program> = {
  'both end'(trace, net, ready) {
    return pair(trace, net, ready).then(async ([client, peer, server]) => {
      peer.on('data', (data) => peer.write(data));
      client.write('hello');
      await once(client, 'data');
      client.end('bye');
      await closed(client, peer);
      server.close();
    });
  },
  async 'half-open'(trace, net, ready) {
    const [client, peer, server] = await pair(
      trace,
      net,
      ready,
      { allowHalfOpen: true },
      { allowHalfOpen: true },
    );
    client.end('question');
    await once(peer, 'end');
    for (let i = 0; i < 10; i++) {
      peer.write('x'.repeat(10_000));
      await delay(1);
    }
    peer.end();
    await closed(client, peer);
    server.close();
  },
  async 'writing after the end'(trace, net, ready) {
    const [client, peer, server] = await pair(trace, net, ready);
    client.end();
    client.write('too late');
    await closed(client, peer);
    server.close();
  },
  async 'writing after the peer ended'(trace, net, ready) {
    const [client, peer, server] = await pair(trace, net, ready, { allowHalfOpen: true });
    const ended = once(peer, 'end');
    peer.end();
    await once(client, 'end');
    client.write('nobody hears this');
    await closed(client);
    // Or it would hear of the client's end, or not, as chance has it.
    await ended;
    peer.destroy();
    await closed(peer);
    server.close();
  },
  async destroy(trace, net, ready) {
    const [client, peer, server] = await pair(trace, net, ready);
    client.write('last words');
    await once(peer, 'data');
    client.destroy();
    await closed(client, peer);
    server.close();
  },
  async 'destroy with an error'(trace, net, ready) {
    const [client, peer, server] = await pair(trace, net, ready);
    client.destroy(Object.assign(new Error('own'), { code: 'OWN' }));
    await closed(client, peer);
    server.close();
  },
  async reset(trace, net, ready) {
    const [client, peer, server] = await pair(trace, net, ready);
    client.resetAndDestroy();
    await closed(client, peer);
    server.close();
  },
  async timeout(trace, net, ready) {
    const [client, peer, server] = await pair(trace, net, ready);
    client.setTimeout(50);
    await once(client, 'timeout');
    client.setTimeout(0);
    client.destroySoon();
    await closed(client, peer);
    server.close();
  },
  async abort(trace, net, ready) {
    const over = new AbortController();
    const [client, peer, server] = await pair(trace, net, ready, {}, { signal: over.signal });
    over.abort();
    await closed(client, peer);
    server.close();
  },
  async 'pause, resume and encodings'(trace, net, ready) {
    const [client, peer, server] = await pair(trace, net, ready);
    peer.pause();
    client.write('48656c6c6f', 'hex');
    client.cork();
    client.write('ä', 'latin1');
    client.write('ä');
    client.uncork();
    await delay(30);
    trace.seen.push(`paused with ${peer.bytesRead >= 0} ${client.bytesWritten}`);
    peer.setEncoding('latin1');
    peer.resume();
    client.end();
    await closed(client, peer);
    server.close();
  },
  async refused(trace, { connect, createServer }) {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    server.close();
    await once(server, 'close');
    const client = connect({ port, host: '127.0.0.1' });
    trace.watch('client', client);
    client.write('never');
    await closed(client);
  },
};

const onTcp: Ready = async () => {};
const onSharedMemory: Ready = (socket) =>
  until('shared memory', () => (socket as shared.Socket).path === 'shared-memory', 20);

t.test('events', async (t) => {
  const socket = `@ivshmem-net-semantics-${process.pid}`;
  const host = await createHost({ regions: [{ name: 'semantics', socket, size: 64 << 20 }] });
  const here: Region = await open({ socket, name: 'here' });
  const there: Region = await open({ socket, name: 'there' });
  t.teardown(async () => {
    await here.close();
    await there.close();
    await host.close();
  });
  const within = (client: Region | null, server: Region | null): Net =>
    ({
      connect: (options: object) => shared.connect({ ...options, region: client } as shared.ConnectOptions),
      createServer: (options: object) => shared.createServer({ ...options, region: server }),
    }) as unknown as Net;
  for (const [name, program] of Object.entries(programs)) {
    const wanted = new Trace();
    await program(wanted, net, onTcp);
    for (const [where, net, ready] of [
      ['without a region', within(null, null), onTcp],
      ['on shared memory', within(here, there), onSharedMemory],
    ] as const) {
      const found = new Trace();
      await program(found, net, ready);
      t.same(found.bySide(), wanted.bySide(), `${name}, ${where}`);
    }
  }
});

t.test('who does not take part sees plain TCP', async (t) => {
  const socket = `@ivshmem-net-plain-${process.pid}`;
  const host = await createHost({ regions: [{ name: 'plain', socket, size: 16 << 20 }] });
  const region = await open({ socket, name: 'here', addresses: ['127.0.0.1'] });
  const liar = await open({ socket, name: 'liar', addresses: ['127.0.0.1'] });
  t.teardown(async () => {
    await region.close();
    await liar.close();
    await host.close();
  });
  const got: Buffer[] = [];
  const server = net.createServer((peer) => {
    peer.on('data', (data) => got.push(data));
    peer.write('greeting');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  // Somebody else says that it is he who listens there, takes every offer and says nothing true.
  const listener = await liar.listen(`tcp:${port}`);
  void (async () => {
    for await (const channel of listener) channel.serve(() => channel.send(Buffer.alloc(32, 1)));
  })();
  const client = shared.connect({ port, host: '127.0.0.1', region });
  const received: Buffer[] = [];
  client.on('data', (data) => received.push(data));
  await until('a reason', () => client.pathReason !== 'none');
  client.write('request');
  await until('the request', () => Buffer.concat(got).length >= 7);
  client.end();
  await once(client, 'close');
  t.equal(Buffer.concat(got).toString(), 'request');
  t.equal(Buffer.concat(received).toString(), 'greeting');
  t.equal(client.path, 'tcp');
  t.equal(client.pathReason, 'peer-fault');
  server.close();
});
