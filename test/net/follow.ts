/** A device goes and another one comes, in another region: connections stay, and take shared memory where there is some. */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { ControlClient } from '../../src/host/control/control-client.ts';
import { controlPath } from '../../src/host/control/control-path.ts';
import { createServer as createHost } from '../../src/host/index.ts';
import { open, type Region } from '../../src/index.ts';
import {
  connect,
  createServer,
  Following,
  followRegion,
  type Server,
  type Socket,
} from '../../src/net/index.ts';
import { until } from '../support/protocol/until.ts';
import { joinUnpluggable, type UnpluggableMember } from './support/unpluggable.ts';

const ADDRESSES = { addresses: ['127.0.0.1'] };

/** Asks, and compares what comes back, until told to stop. */
class Talk {
  readonly socket: Socket;
  rounds = 0;
  wrong = 0;
  error: Error | null = null;
  #going = true;
  readonly #over: Promise<void>;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', (error) => {
      this.error = error;
    });
    this.#over = this.#run();
  }

  async #run(): Promise<void> {
    let got = Buffer.alloc(0);
    this.socket.on('data', (data: Buffer) => {
      got = Buffer.concat([got, data]);
    });
    while (this.#going && !this.socket.destroyed) {
      const question = Buffer.alloc(1 + ((this.rounds * 7919) % 30_000), `round ${this.rounds} `);
      got = Buffer.alloc(0);
      this.socket.write(question);
      await until('an answer', () => got.length >= question.length || this.socket.destroyed);
      if (!got.equals(question)) this.wrong++;
      this.rounds++;
    }
  }

  async goesOn(): Promise<void> {
    const { rounds } = this;
    await until('more answers', () => this.rounds > rounds + 2);
  }

  async on(path: 'tcp' | 'shared-memory'): Promise<void> {
    await until(`${path}, not ${this.socket.pathReason}`, () => this.socket.path === path);
    await this.goesOn();
  }

  async stop(): Promise<void> {
    this.#going = false;
    await this.#over;
    this.socket.destroy();
  }
}

async function control<T>(socket: string, act: (client: ControlClient) => Promise<T>): Promise<T> {
  const client = await ControlClient.connect(controlPath(socket));
  try {
    return await act(client);
  } finally {
    client.close();
  }
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

async function echo(t: Test, region?: Region): Promise<number> {
  const server = createServer(region === undefined ? {} : { region }, (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return portOf(server);
}

t.test('from one region to another and back', { timeout: 120_000 }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ivshmem-follow-'));
  const sockets = [1, 2].map((host) => join(directory, `host${host}.sock`));
  const hosts = await Promise.all(
    sockets.map((socket, i) => createHost({ regions: [{ name: `host${i + 1}`, socket, size: 64 << 20 }] })),
  );
  const near = await open({ socket: sockets[0]!, name: 'near', ...ADDRESSES });
  const far = await open({ socket: sockets[1]!, name: 'far', ...ADDRESSES });
  // What is plugged in, and what a program that opens it gets.
  let plugged: string | null = null;
  let member: UnpluggableMember | null = null;
  const openRegion = async (): Promise<Region> => {
    if (plugged === null) throw new Error('no device');
    member = await joinUnpluggable(plugged, { name: 'mover', ...ADDRESSES });
    const { region } = member;
    const membership = region.membership.bind(region);
    // Members are known late: whoever is told of a listener before would be refused for good.
    region.membership = (options) => delay(200).then(() => membership(options));
    return region;
  };
  // Also a device that nobody has: files that come and go in this folder are the nodes of devices.
  const folder = join(directory, 'dev');
  const node = join(folder, 'node');
  const plug = (socket: string): void => {
    plugged = socket;
    writeFileSync(node, socket);
  };
  const unplug = (): void => {
    plugged = null;
    rmSync(node);
    member!.unplug();
  };
  mkdirSync(folder);
  const following = followRegion({ openRegion, socket: node });
  t.teardown(async () => {
    await following.close();
    await near.close();
    await far.close();
    for (const host of hosts) await host.close();
    rmSync(directory, { recursive: true, force: true });
  });
  t.ok(following instanceof Following);
  const told: string[] = [];
  following.on('region', (region) => told.push(region.header.name));
  following.on('lost', () => told.push('lost'));
  await following.tried;
  t.match(following.failure, { message: 'no device' });
  t.equal(following.region, null);

  // Made while there is no region yet: by the mover, to it, and among the others.
  const port = await echo(t);
  const [nearPort, farPort] = [await echo(t, near), await echo(t, far)];
  const talkTo = (port: number, region?: Region): Talk =>
    new Talk(connect({ port, host: '127.0.0.1', ...(region ? { region } : {}) }));
  const withNear = [talkTo(port, near), talkTo(nearPort)];
  const withFar = [talkTo(port, far), talkTo(farPort)];
  const all = [...withNear, ...withFar];
  const on = async (path: 'tcp' | 'shared-memory', talks: Talk[]): Promise<void> => {
    await Promise.all(talks.map((talk) => talk.on(path)));
  };
  await on('tcp', all);

  plug(sockets[0]!);
  await on('shared-memory', withNear);
  t.ok(
    withFar.every(({ socket }) => socket.path === 'tcp'),
    'who is elsewhere is reached over TCP',
  );
  t.equal(following.failure, null);

  unplug();
  await on('tcp', all);
  t.equal(following.region, null);
  plug(sockets[1]!);
  await on('shared-memory', withFar);
  t.ok(withNear.every(({ socket }) => socket.path === 'tcp'));

  unplug();
  await on('tcp', all);
  plug(sockets[0]!);
  await on('shared-memory', withNear);
  t.strictSame(told, ['host1', 'lost', 'host2', 'lost', 'host1']);

  const late = talkTo(port, near);
  await late.on('shared-memory');
  await following.close();
  await on('tcp', all);
  for (const talk of [...all, late]) {
    await talk.stop();
    t.equal(talk.error, null);
    t.equal(talk.wrong, 0);
  }
});

t.test('drained by an operator, who thinks better of it, then unplugged', { timeout: 60_000 }, async (t) => {
  const socket = `@ivshmem-drain-${process.pid}`;
  const host = await createHost({ regions: [{ name: 'host', socket, size: 64 << 20 }] });
  const near = await open({ socket, name: 'near', ...ADDRESSES });
  const events: string[] = [];
  const members = await near.membership();
  members.on('update', ({ member }) => events.push(`${member.name} ${member.state}`));
  members.on('leave', ({ member, reason }) => events.push(`${member.name} ${reason}`));
  const mover = await joinUnpluggable(socket, { name: 'mover', ...ADDRESSES });
  const following = followRegion({ openRegion: async () => mover.region, socket: '@nothing-more' });
  t.teardown(async () => {
    await following.close();
    await near.close();
    await host.close();
  });
  await following.tried;
  const [port, nearPort] = [await echo(t), await echo(t, near)];
  const talks = [
    new Talk(connect({ port, host: '127.0.0.1', region: near })),
    new Talk(connect({ port: nearPort, host: '127.0.0.1' })),
  ];
  const on = (path: 'tcp' | 'shared-memory'): Promise<unknown> =>
    Promise.all(talks.map((talk) => talk.on(path)));
  await on('shared-memory');
  // Somebody's own channel does not go with the connections.
  const listener = await near.listen('own');
  const channel = await mover.region.connect('own', { peer: 'near' });
  const drain = { op: 'drain', member: 'mover', migrates: true } as const;
  const stays = await control(socket, (client) => client.ask({ ...drain, ms: 500 }));
  t.match(stays, { channels: 1 }, 'after a while the rest is told');
  await on('tcp');
  t.ok(talks.every(({ socket }) => socket.pathReason === 'leaving'));
  await control(socket, (client) => client.ask({ op: 'undrain', member: 'mover' }));
  await on('shared-memory');
  channel.close();
  (await listener.accept())?.close();
  // In the middle of whatever connections are at, such as changing to larger channels.
  for (let i = 0; i < 5; i++) {
    await delay(10 * i);
    const again = await control(socket, (client) => client.ask({ ...drain, ms: 30_000 }));
    t.match(again, { channels: 0 });
    await on('tcp');
    await control(socket, (client) => client.ask({ op: 'undrain', member: 'mover' }));
    await on('shared-memory');
  }
  await until('all of that is seen', () => events.at(-1) === 'mover active');
  events.length = 0;
  const drained = await control(socket, (client) => client.ask({ ...drain, ms: 30_000 }));
  t.match(drained, { member: { name: 'mover', state: 'active' }, channels: 0 });
  mover.unplug();
  await until('the leave', () => events.includes('mover migrated'));
  t.strictSame(events, ['mover leaving', 'mover migrated']);
  await on('tcp');
  for (const talk of talks) {
    await talk.stop();
    t.equal(talk.error, null);
    t.equal(talk.wrong, 0);
  }
});

t.test('connections hold memory for as long as the options say', { timeout: 60_000 }, async (t) => {
  const socket = `@ivshmem-follow-idle-${process.pid}`;
  const host = await createHost({ regions: [{ name: 'idle', socket, size: 64 << 20 }] });
  const near = await open({ socket, name: 'near', ...ADDRESSES });
  const following = followRegion({ socket, name: 'mover', ...ADDRESSES, idleMs: 100 });
  t.teardown(async () => {
    await following.close();
    await near.close();
    await host.close();
  });
  await following.tried;
  const client = connect({ port: await echo(t, near), host: '127.0.0.1' });
  t.teardown(() => client.destroy());
  await until('shared memory', () => client.path === 'shared-memory');
  await until('its end', () => client.pathReason === 'idle', 5);
});
