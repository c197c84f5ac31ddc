/** Small programs, once with node:net and once with this module, on TCP and on shared memory: the same events in the same order. */
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { createServer as createHost } from '../../src/host/index.ts';
import { open } from '../../src/index.ts';
import * as shared from '../../src/net/index.ts';
import { until } from '../support/protocol/until.ts';
import { closed, compare, type Program, pair } from './support/traces.ts';

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

t.test('events', (t) => compare(t, programs));

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
