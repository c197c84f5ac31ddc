// Whoever sends more than is worked off: strangers, hosts with sound certificates, members.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { type Issued, withoutOpenssl } from '../host/hosts/support/certificates.ts';
import { until } from '../support/protocol/until.ts';
import type { SpreadHost } from '../support/spread-hosts.ts';
import { PAGES, SpreadScene } from '../support/spread-scene.ts';
import { dial, frame, hello } from '../support/stranger.ts';

const skip = withoutOpenssl() ?? false;
const [TELL, NODE] = [33, 3] as const;
/** More than sockets keep. */
const MUCH = 40 << 20;

/** A host that expects another one, and gives up nobody for being slow. */
async function alone(t: Test): Promise<{ scene: SpreadScene; one: SpreadHost; identity: Issued }> {
  const scene = new SpreadScene(t);
  const [one] = await scene.form(1, { patienceMs: 120_000 });
  await one!.do('expect', NODE, 'node3');
  return { scene, one: one!, identity: scene.authority.issue('node3') };
}

async function goesOn(t: Test, one: SpreadHost): Promise<void> {
  await one.do('fill', 1, 0, PAGES, 1);
  t.same(await one.do('verify', 1, 0, PAGES, 1), [], 'members are served');
}

t.test('who only connects keeps nobody out', { skip }, async (t) => {
  const { scene, one, identity } = await alone(t);
  const port = scene.ports[0]!;
  const idle: Socket[] = [];
  t.teardown(() => idle.forEach((socket) => void socket.destroy()));
  for (let i = 0; i < 40; i++) {
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    idle.push(socket);
    await once(socket, 'connect');
  }
  const socket = await dial(port, identity);
  socket.write(hello(NODE));
  t.equal((await one.event('up')).node, NODE);
  t.match((await one.event('refused')).why, /too many who have not said who they are/);
  socket.destroy();
});

t.test('a host that says more than the server takes', { skip }, async (t) => {
  const { scene, one, identity } = await alone(t);
  const socket = await dial(scene.ports[0]!, identity);
  socket.write(hello(NODE));
  await one.event('up');
  const blocked = one.do('block', 3000);
  const text = frame(TELL, Buffer.alloc(65_536, 'x'));
  let [sent, taken] = [0, 0];
  let last: Promise<void> = Promise.resolve();
  const end = performance.now() + 2500;
  while (performance.now() < end && sent === taken && sent * text.length < 4 * MUCH) {
    last = new Promise((resolve) => {
      socket.write(text, () => {
        taken++;
        resolve();
      });
    });
    sent++;
    await Promise.race([last, delay(end - performance.now())]);
  }
  t.ok(taken * text.length < MUCH, 'what nobody hears is not kept', { taken });
  await blocked;
  await last;
  const heard = (): number => one.events.filter(({ kind }) => kind === 'told').length;
  await until('all is heard in the end', () => heard() === sent);
  t.notOk(one.events.some(({ kind }) => kind === 'down'));
  await goesOn(t, one);
  socket.destroy();
});

/** A server of TLS 1.3 with more to say of keys than of anything else. */
async function ticketServer(t: Test, { certificate, key, authority }: Issued): Promise<number> {
  const child = spawn(
    'openssl',
    [
      ...['s_server', '-accept', '127.0.0.1:0', '-tls1_3', '-num_tickets', '150000', '-Verify', '1'],
      ...['-cert', certificate, '-key', key, '-CAfile', authority],
    ],
    { stdio: ['pipe', 'pipe', 'ignore'] },
  );
  t.teardown(() => child.kill('SIGKILL'));
  for await (const line of createInterface(child.stdout)) {
    const port = /^ACCEPT .*:(\d+)$/.exec(line)?.[1];
    if (port !== undefined) return Number(port);
  }
  throw new Error('openssl does not listen');
}

t.test('a host that sends records without data', { skip, timeout: 120_000 }, async (t) => {
  const { one, identity } = await alone(t);
  const port = await ticketServer(t, identity);
  const [kept, flights] = [[] as Buffer[], { client: 0, bytes: 0 }];
  let [victim, source]: Socket[] = [];
  const relay = createServer((client) => {
    victim = client.on('error', () => undefined);
    const server = connect(port, '127.0.0.1').on('error', () => undefined);
    source = server;
    t.teardown(() => void server.destroy());
    client.on('data', (data) => {
      flights.client++;
      server.write(data);
    });
    // What comes after the handshake is kept back until it is much.
    server.on('data', (data) => {
      if (flights.client < 2) client.write(data);
      else flights.bytes += kept.push(data) && data.length;
    });
  }).listen(0, '127.0.0.1');
  t.teardown(() => void relay.close());
  await once(relay, 'listening');
  await one.do('connect', NODE, (relay.address() as AddressInfo).port);
  await until('there is much of it', () => flights.bytes >= MUCH, 90);
  source!.destroy();
  let written = false;
  const begun = performance.now();
  victim!.write(Buffer.concat(kept), () => {
    written = true;
  });
  let [longest, asked] = [0, 0];
  while (!written) {
    const before = performance.now();
    await one.do('status');
    longest = Math.max(longest, performance.now() - before);
    asked++;
  }
  const took = performance.now() - begun;
  t.ok(longest < took / 4, 'it holds nobody up', { longest, took, asked });
  await goesOn(t, one);
  victim!.destroy();
});

t.test('a member that calls without end', { skip, timeout: 120_000 }, async (t) => {
  const { scene, one, identity } = await alone(t);
  const socket = await dial(scene.ports[0]!, identity);
  // It is never read from.
  socket.write(hello(NODE));
  await one.event('up');
  await one.do('install', 2, 0b1001);
  // As many as wait at most (native/hosts/engine.cc), behind what the sockets have.
  const most = (256 * 256) / 4;
  let waiting = 0;
  for (let calls = 0; calls < 1_500_000 && waiting < most * 40; calls += 50_000) {
    await one.do('callAll', 1, String(BigInt(NODE) << 40n), 50_000);
    waiting = (await one.do<{ waiting: number } | null>('peer', NODE))?.waiting ?? -1;
    if (waiting < 0) break;
  }
  await one.do('callAll', 1, String(BigInt(NODE) << 40n), 50_000);
  t.ok(waiting >= most * 40, 'as many wait as may', { waiting });
  t.notOk(
    one.events.some(({ kind }) => kind === 'reject' || kind === 'down'),
    'the other host has done nothing wrong',
  );
  socket.destroy();
});
