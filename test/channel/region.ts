/** Regions over the real server and the host backend, several members in one process. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { createServer, type IvshmemServer } from '../../src/host/index.ts';
import {
  type Channel,
  type IvshmemDevice,
  interrupt,
  type OpenOptions,
  open,
  openDevice,
  Region,
} from '../../src/index.ts';
import {
  CHANNEL_BYTES,
  CHANNEL_OPEN,
  CHANNEL_W,
  CONTROL_BIT,
  EVENT_ENTRIES,
  MEMBER_W,
  PAGE_BYTES,
} from '../../src/memory/layout.ts';
import { post } from '../../src/memory/pending.ts';

let servers = 0;

async function start(
  t: Test,
  size = 32 << 20,
): Promise<{
  server: IvshmemServer;
  socket: string;
  join: (name: string, more?: OpenOptions) => Promise<Region>;
}> {
  const socket = `@ivshmem-region-test-${process.pid}-${servers++}`;
  const server = await createServer({ regions: [{ name: 'test', socket, size }] });
  t.teardown(() => server.close());
  const join = async (name: string, more: OpenOptions = {}): Promise<Region> => {
    const region = await open({ socket, name, ...more });
    t.teardown(() => region.close());
    return region;
  };
  return { server, socket, join };
}

async function pair(
  t: Test,
  more: OpenOptions = {},
): Promise<{ server: IvshmemServer; a: Region; b: Region; near: Channel; far: Channel }> {
  const { server, join } = await start(t);
  const [a, b] = [await join('a', more), await join('b', more)];
  const listener = await b.listen('service');
  const near = await a.connect('service');
  const far = (await listener.accept())!;
  return { server, a, b, near, far };
}

const text = async (channel: Channel): Promise<string | null> => {
  const message = await channel.next();
  if (message === null) return null;
  const value = Buffer.from(message.copy()).toString();
  channel.release(message);
  return value;
};

/** Polls a condition for at most 10 s. */
async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('the condition did not come true within 10 s');
    await nextTurn();
  }
}

t.test('two members connect by service name and exchange messages both ways', async (t) => {
  const { a, b, near, far } = await pair(t);
  t.equal(near.peer, b.slot);
  t.equal(far.peer, a.slot);
  t.equal(far.service, 'service');
  t.ok(near.send(Buffer.from('there')));
  t.equal(await text(far), 'there');
  t.ok(far.send(Buffer.from('and back')));
  t.equal(await text(near), 'and back');
});

t.test('processes that sleep between messages are woken by the doorbell', async (t) => {
  const { socket, join } = await start(t);
  const child = spawn(process.execPath, ['--import', 'tsx', 'test/vm/guest/member.ts', 'serve', 'b'], {
    env: { ...process.env, IVSHMEM_SOCKET: socket, NODE_OPTIONS: '', NODE_V8_COVERAGE: '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill());
  await once(child.stdout, 'data');
  const a = await join('a', { wait: interrupt });
  const channel = await a.connect('echo', { peer: 'b' });
  for (let i = 0; i < 100; i++) {
    channel.send(Buffer.from(`${i}`));
    t.equal(await text(channel), `${i}`);
  }
  const [, sleeps, bells] = a.waitStatistics();
  t.ok(sleeps! > 0 && bells! > 0, `${sleeps} sleeps, ${bells} bells`);
  const gone = new Promise((resolve) => channel.onEnd(resolve));
  child.kill('SIGKILL');
  t.equal(await gone, 'died');
  t.equal(await text(channel), null);
});

t.test('connect names a member, and says who refuses', async (t) => {
  const { join } = await start(t);
  const [a, b, c] = [await join('a'), await join('b'), await join('c')];
  await b.listen('both');
  const wanted = await c.listen('both');
  const channel = await a.connect('both', { peer: 'c' });
  t.equal(channel.peer, c.slot);
  t.equal((await wanted.accept())!.peer, a.slot);
  await t.rejects(a.connect('both', { peer: 'nobody' }), { code: 'ERR_IVSHMEM_REFUSED' });
  await t.rejects(a.connect('nothing'), { code: 'ERR_IVSHMEM_REFUSED', message: /nobody listens/ });
  await t.rejects(a.connect('both', { queueSize: 3 }), { code: 'ERR_IVSHMEM_CHANNEL_OPTIONS' });
  await t.rejects(a.connect('both', { dataBytes: 100 }), { code: 'ERR_IVSHMEM_CHANNEL_OPTIONS' });
  await t.rejects(a.connect('both', { dataBytes: 1 << 30 }), { code: 'ERR_IVSHMEM_REFUSED' });
  await t.rejects(a.listen(''), { code: 'ERR_IVSHMEM_NAME' });
  await t.rejects(a.listen('x'.repeat(65)), { code: 'ERR_IVSHMEM_NAME' });
  await t.rejects(join('a'), { code: 'ERR_IVSHMEM_REFUSED' }, 'two members cannot have one name');
  await t.rejects(join('bad\nname'), { code: 'ERR_IVSHMEM_NAME' });
});

t.test('who cannot join gives the device back, whatever is wrong', async (t) => {
  const { socket } = await start(t);
  for (const [options, code] of [
    [{ name: 'bad\nname' }, 'ERR_IVSHMEM_NAME'],
    [{ name: 'a', labels: { '': 'x' } }, 'ERR_IVSHMEM_MEMBERSHIP_DESCRIPTION'],
  ] as const) {
    const device = await openDevice({ socket });
    await t.rejects(Region.join(device, options), { code });
    t.ok(device.closed, code);
  }
});

t.test('what was sent before close is received, then the end is seen', async (t) => {
  const { near, far } = await pair(t);
  for (let i = 0; i < 10; i++) near.send(Buffer.from(`${i}`));
  near.close();
  near.close();
  t.notOk(near.send(Buffer.from('late')));
  t.equal(near.reserve(1), null);
  const got: string[] = [];
  for await (const message of far) got.push(Buffer.from(message.copy()).toString());
  t.same(got, ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
  t.equal(far.end, 'closed');
  t.notOk(await far.write(Buffer.from('x')), 'sending to a closed channel is a value, not an error');
});

t.test('messages larger than the ring pass in both directions at once', async (t) => {
  const { near, far } = await pair(t);
  const there = randomBytes(3 << 20);
  const back = randomBytes(2 << 20);
  const [x, y, got, returned] = await Promise.all([
    near.write(there),
    far.write(back),
    far.next(),
    near.next(),
  ]);
  t.ok(x && y);
  t.ok(Buffer.from(got!.copy()).equals(there));
  t.ok(Buffer.from(returned!.copy()).equals(back));
});

t.test('back-pressure is a value and a promise', async (t) => {
  const { near, far } = await pair(t);
  let sent = 0;
  while (near.send(new Uint8Array(1000).fill(sent))) sent++;
  t.ok(sent >= 200, `${sent} messages fit`);
  const waiting = near.writable(1000);
  for (let i = 0; i < 2; i++) {
    const message = await far.next();
    t.equal(message!.bytes[0], i);
    far.release(message!);
  }
  t.ok(await waiting);
  t.ok(near.send(new Uint8Array(1000)));
  t.throws(() => near.reserve(1 << 30), { code: 'ERR_IVSHMEM_MESSAGE_SIZE' });
});

t.test('a region closes with everything in it, and its memory comes back', async (t) => {
  const { server, join } = await start(t);
  const free = server.status().regions[0]!.freeHeapBytes;
  const a = await join('a');
  const b = await join('b');
  const listener = await b.listen('many');
  const channels = await Promise.all(
    Array.from({ length: 20 }, () => a.connect('many', { dataBytes: 4096, queueSize: 16 })),
  );
  const far = await Promise.all(channels.map(() => listener.accept()));
  t.equal(server.status().regions[0]!.channels, 20);
  await a.close();
  await a.close();
  t.equal(channels[0]!.end, 'closed-here');
  await until(() => far.every((channel) => channel!.end === 'closed'));
  await b.close();
  await until(() => server.status().regions[0]!.freeHeapBytes === free);
  t.equal(await listener.accept(), null);
  await t.rejects(a.listen('x'), { code: 'ERR_IVSHMEM_CLOSED' });
});

t.test('who closes a region again waits for the end of it', async (t) => {
  const { join } = await start(t);
  const region = await join('twice');
  const device = region.device as IvshmemDevice;
  const ends: string[] = [];
  const first = region.close().then(() => ends.push('first'));
  await region.close().then(() => ends.push(`second ${device.closed}`));
  await first;
  t.same(ends, ['first', 'second true']);
  await region.close();
});

t.test('a thousand channels work, each fairly', { timeout: 120_000 }, async (t) => {
  const { join } = await start(t, 128 << 20);
  const [a, b] = [await join('a'), await join('b')];
  const listener = await b.listen('many');
  const counts = new Uint32Array(1000);
  const served = (async () => {
    let index = 0;
    for await (const channel of listener) {
      const mine = index++;
      channel.serve((message) => {
        counts[mine]!++;
        channel.send(message.bytes);
      });
      if (index === counts.length) break;
    }
  })();
  const channels: Channel[] = [];
  for (let i = 0; i < counts.length; i++)
    channels.push(await a.connect('many', { dataBytes: 4096, queueSize: 16 }));
  await served;
  for (let round = 0; round < 5; round++) {
    for (const channel of channels) channel.send(Uint8Array.of(round));
    for (const channel of channels) {
      const message = await channel.next();
      t.equal(message!.bytes[0], round, { quiet: true } as never);
      channel.release(message!);
    }
  }
  t.ok(counts.every((count) => count === 5));
});

t.test('one busy channel does not starve another', async (t) => {
  const { join } = await start(t);
  const [a, b] = [await join('a'), await join('b')];
  const listener = await b.listen('s');
  const [busy, quiet] = [await a.connect('s'), await a.connect('s')];
  const [farBusy, farQuiet] = [(await listener.accept())!, (await listener.accept())!];
  let flooded = 0;
  let answered = -1;
  farBusy.serve(() => {
    flooded++;
    while (busy.send(new Uint8Array(8)));
  });
  farQuiet.serve(() => {
    answered = flooded;
  });
  while (busy.send(new Uint8Array(8)));
  await until(() => flooded > 500);
  const before = flooded;
  quiet.send(new Uint8Array(8));
  await until(() => answered >= 0);
  t.ok(
    answered - before < 2000,
    `the quiet channel was served after ${answered - before} messages of the busy one`,
  );
  farBusy.serve(null);
});

t.test('an exception of a handler reaches the process, and the others are served all the same', async (t) => {
  const { near, far } = await pair(t);
  const caught = new Promise<Error>((resolve) => process.once('uncaughtException', resolve));
  let after = 0;
  far.serve((message) => {
    if (message.bytes[0] === 1) throw new Error('from the handler');
    after++;
  });
  near.send(Uint8Array.of(1));
  near.send(Uint8Array.of(2));
  t.match(await caught, { message: 'from the handler' });
  await until(() => after === 1);
  t.equal(far.end, null);
});

t.test(
  'a ring that a hostile peer breaks ends its channel with a typed error, and only that one',
  async (t) => {
    const { a, b, near, far } = await pair(t);
    const other = await (async () => {
      const listener = await b.listen('other');
      const mine = await a.connect('other');
      return { mine, theirs: (await listener.accept())! };
    })();
    far.serve(() => {});
    const ended = new Promise((resolve) => far.onEnd(resolve));
    // The peer stores anywhere in its descriptors: an address outside the data area.
    const room = near.reserve(64)!;
    const ring = new Int32Array(near.outgoing.bytes.buffer);
    const areaStart = near.outgoing.bytes.byteOffset + room.offset;
    const at = ring.indexOf(areaStart);
    t.ok(at > 0, 'the descriptor was found by its address');
    ring[at] = 16;
    near.commit();
    t.equal(await ended, 'broken');
    t.match(far.error, { code: 'ERR_IVSHMEM_QUEUE_BROKEN' });
    t.equal(far.receive(), null);
    other.mine.send(Buffer.from('still here'));
    t.equal(await text(other.theirs), 'still here');
  },
);

t.test(
  'an entry of the channel table that a peer wrote over costs that channel, and nobody else',
  async (t) => {
    const { a, b, near, far } = await pair(t);
    const listener = await b.listen('other');
    const mine = await a.connect('other');
    const theirs = (await listener.accept())!;
    far.serve(() => {});
    const ended = new Promise((resolve) => far.onEnd(resolve));
    const words = new Int32Array(a.device.memory);
    const entries = (a.header.channelTablePage * PAGE_BYTES) / 4;
    const nobodys = 77;
    for (const number of [near.number, nobodys]) {
      words[entries + number * (CHANNEL_BYTES / 4) + CHANNEL_W.queueSize] = 3;
      words[entries + number * (CHANNEL_BYTES / 4) + CHANNEL_W.state] = CHANNEL_OPEN;
    }
    const block = ((a.header.memberPage + b.slot) * PAGE_BYTES) / 4;
    const count = words[block + MEMBER_W.eventCount]!;
    words[block + MEMBER_W.events + (count % EVENT_ENTRIES)] = nobodys;
    words[block + MEMBER_W.events + ((count + 1) % EVENT_ENTRIES)] = near.number;
    Atomics.add(words, block + MEMBER_W.eventCount, 2);
    post(words, block, CONTROL_BIT);
    a.device.ring(b.slot, 0);
    t.equal(await ended, 'broken');
    t.match(far.error, { code: 'ERR_IVSHMEM_CHANNEL_TABLE' });
    mine.send(Buffer.from('still here'));
    t.equal(await text(theirs), 'still here');
  },
);

t.test('a server that is gone is a typed error, on time', { timeout: 30_000 }, async (t) => {
  const { server, socket, join } = await start(t);
  const a = await join('a');
  await server.close();
  await t.rejects(a.listen('x'), { code: 'ERR_IVSHMEM_SERVER_SILENT' });
  await t.rejects(open({ socket, name: 'late' }));
  // The goodbye would have nobody to answer it: the region does not ask again.
  await a.close();
});
