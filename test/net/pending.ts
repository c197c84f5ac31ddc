/** What becomes of what is under way: writes that a peer does not take, counts and timeouts meanwhile, and connections made anew. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo, Socket, TcpSocketConnectOpts } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createServer, Socket as SharedSocket } from '../../src/net/index.ts';
import { stateOf } from '../../src/net/socket.ts';
import { until } from '../support/protocol/until.ts';
import { closed, compare, type Program, pair, type Trace, twoMembers } from './support/traces.ts';

t.setTimeout(240_000);
/** More than a ring and two kernels take. */
const MUCH = 64 << 20;
const UNREAD = { pauseOnConnect: true };

function write(trace: Trace, socket: Socket, bytes: number): void {
  socket.write(Buffer.alloc(bytes), (error) => {
    const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
    trace.seen.push(`client wrote ${bytes} ${code} ${syscall}`);
  });
}

/** A peer that reads nothing, and writes under way to it; then something is done, and the client's end is waited for. */
const underWay =
  (act: (client: Socket, peer: Socket, trace: Trace) => void): Program =>
  async (trace, net, ready) => {
    const [client, peer, server] = await pair(trace, net, ready, UNREAD);
    write(trace, client, MUCH);
    write(trace, client, 1);
    await delay(20);
    act(client, peer, trace);
    await closed(client);
    peer.destroy();
    await closed(peer);
    trace.forget('server');
    server.close();
  };

const programs: Record<string, Program> = {
  destroyed: underWay((client) => client.destroy()),
  'destroyed with an error': underWay((client) =>
    client.destroy(Object.assign(new Error('own'), { code: 'OWN' })),
  ),
  'reset here': underWay((client) => client.resetAndDestroy()),
  'reset by the peer': underWay((_client, peer) => peer.resetAndDestroy()),
  async 'what was written, in numbers'(trace, net, ready) {
    const [client, peer, server] = await pair(trace, net, ready, UNREAD);
    const say = (): void => {
      const { bytesWritten, writableLength, writableNeedDrain } = client;
      const { bufferSize } = client as unknown as { bufferSize: number };
      trace.seen.push(`client ${bytesWritten} ${writableLength} ${bufferSize} ${writableNeedDrain}`);
    };
    client.write(Buffer.alloc(MUCH));
    client.write('and more');
    say();
    peer.resume();
    client.end();
    await closed(client, peer);
    trace.forget('server');
    say();
    trace.seen.push(`client ${JSON.stringify(client.address())} ${client.localPort}`);
    server.close();
  },
  async 'written at once, and then a mistake'(trace, net, ready) {
    const [client, peer, server] = await pair(trace, net, ready);
    if (client.connecting) await once(client, 'connect');
    for (const bytes of [1, 2, 3]) write(trace, client, bytes);
    client.end('last');
    client.write('too late');
    await closed(client, peer);
    server.close();
  },
  async 'a timeout, counted from when a write was done'(trace, net, ready) {
    const [client, peer, server] = await pair(trace, net, ready, UNREAD);
    let done = 0;
    client.write(Buffer.alloc(MUCH / 4), () => {
      done = performance.now();
    });
    client.setTimeout(1000);
    await delay(700);
    peer.resume();
    await once(client, 'timeout');
    trace.forget('');
    trace.seen.push(`client waited ${done > 0 && performance.now() - done > 900}`);
    client.destroy();
    peer.destroy();
    await closed(client, peer);
    trace.forget('server');
    trace.forget('client close');
    server.close();
  },
  async 'connected again'(trace, net, ready) {
    const [client, peer, server] = await pair(trace, net, ready);
    client.end('first');
    await closed(client, peer);
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    client.connect((server.address() as AddressInfo).port, '127.0.0.1');
    await once(client, 'connect');
    const [next] = await accepted;
    trace.watch('server', next);
    await ready(client);
    trace.seen.push(`client ${client.bytesRead} ${client.bytesWritten} ${client.readyState}`);
    const over = once(client, 'close');
    client.end('second');
    await over;
    await closed(next);
    server.close();
  },
};

t.test('events', async (t) => {
  await compare(t, programs);
  // A handle that is never closed keeps its descriptor, and the process from ending.
  await until('no TCP handle that stays', () => tcpHandles() === 0, 20);
});

function tcpHandles(): number {
  const { libuv } = process.report!.getReport() as unknown as { libuv: readonly { type: string }[] };
  return libuv.filter(({ type }) => type === 'tcp').length;
}

t.test('what is in shared memory comes before what TCP says of its end', async (t) => {
  const { here, there } = await twoMembers(t);
  const server = createServer({ region: there }).listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  // A socket of the program's own, which takes part as any other.
  const client = new SharedSocket();
  client.connect({
    ...(server.address() as AddressInfo),
    host: '127.0.0.1',
    region: here,
  } as object as TcpSocketConnectOpts);
  const [peer] = await accepted;
  await until('shared memory', () => client.path === 'shared-memory');
  const seen: string[] = [];
  peer.on('data', (data) => seen.push(String(data)));
  peer.on('error', (error: NodeJS.ErrnoException) => seen.push(String(error.code)));
  client.write('last words');
  const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
  stateOf(peer).link!.tcpSocket.destroy(reset);
  await once(peer, 'close').catch(() => {});
  t.same(seen, ['last words', 'ECONNRESET']);
  client.destroy();
});

t.test(
  'a process goes on until what it wrote is taken, also for a socket that does not keep it',
  async (t) => {
    const { socket, there } = await twoMembers(t);
    let got = 0;
    const server = createServer({ region: there, pauseOnConnect: true }, (peer) => {
      peer.on('error', () => {});
      peer.on('data', ({ length }) => {
        got += length;
      });
      // Later than a process that nothing keeps would end.
      setTimeout(() => peer.resume(), 1000);
    }).listen(0, '127.0.0.1');
    t.teardown(() => server.close());
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const program = fileURLToPath(new URL('support/last-write.ts', import.meta.url));
    const child = spawn(process.execPath, ['--import', 'tsx', program, socket, `${port}`, `${MUCH}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    t.teardown(() => child.kill('SIGKILL'));
    let said = '';
    child.stdout.on('data', (text) => {
      said += text;
    });
    t.same(await once(child, 'close'), [0, null]);
    t.equal(said, 'shared-memory\nwritten\n');
    await until('all of it', () => got === MUCH);
  },
);
