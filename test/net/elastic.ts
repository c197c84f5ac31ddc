/** Channel memory of many connections between two processes: it follows what they carry, goes back, and is shared. */
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { channelLayout } from '../../src/memory/layout.ts';
import { connect, counters, type Socket, setRegion } from '../../src/net/index.ts';
import { until } from '../support/protocol/until.ts';
import { type Scene, setScene } from './support/scene.ts';

t.setTimeout(480_000);
const MANY = 1000;
const DATA_BYTES = 16 << 10;
const QUEUE_SIZE = 64;
const EACH = channelLayout(QUEUE_SIZE, DATA_BYTES).bytes;
const MESSAGE = Buffer.alloc(512, 'm');

/** Sends a message, waits for all of it to come back, and so on, for as long as it shall. */
class Caller {
  readonly socket: Socket;
  rounds = 0;
  error: Error | null = null;
  going = false;
  #left = 0;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', (error) => {
      this.error = error;
    });
    socket.on('data', (data: Buffer) => {
      this.#left -= data.length;
      if (this.#left !== 0) return;
      this.rounds++;
      if (this.going) this.call();
    });
  }

  call(): void {
    this.#left = MESSAGE.length;
    this.socket.write(MESSAGE);
  }

  start(): void {
    if (this.going) return;
    this.going = true;
    if (this.#left === 0) this.call();
  }
}

interface Many extends Scene {
  readonly callers: Caller[];
  /** Bytes that channels hold. */
  held(): number;
}

async function setMany(t: Test, count: number, region: object, options: object): Promise<Many> {
  const scene = await setScene(t, 1, region);
  const free = (): number => scene.host.status().regions[0]!.freeHeapBytes;
  const all = free();
  await setRegion(scene.region, { dataBytes: DATA_BYTES, queueSize: QUEUE_SIZE, ...options });
  t.teardown(() => setRegion(null));
  const callers: Caller[] = [];
  for (let i = 0; i < count; i++) {
    const caller = new Caller(connect({ port: scene.peer.echo, host: '127.0.0.1' }));
    callers.push(caller);
    if (i % 50 === 49) await once(caller.socket, 'connect');
  }
  t.teardown(() => {
    for (const { socket } of callers) socket.destroy();
  });
  return { ...scene, callers, held: () => all - free() };
}

const onSharedMemory = (callers: readonly Caller[]): number =>
  callers.filter(({ socket }) => socket.path === 'shared-memory').length;

t.test(
  `${MANY} connections: fair to each other, memory for those in use only, and back to the byte`,
  async (t) => {
    const region = { size: 256 << 20, channels: 2048 };
    const { callers, held } = await setMany(t, MANY, region, { idleMs: 3000, maxDataBytes: DATA_BYTES });
    // On whichever path: an idle one that came over early may be back.
    for (const caller of callers) caller.start();
    await until('all of them on shared memory', () => onSharedMemory(callers) === MANY, 300);
    await until('and their memory, to the byte', () => held() === MANY * EACH);

    for (const caller of callers) caller.rounds = 0;
    const rounds = (): number => callers.reduce((sum, { rounds }) => sum + rounds, 0);
    await until('20 rounds each', () => rounds() >= 20 * MANY, 300);
    const counts = callers.map(({ rounds }) => rounds);
    const mean = rounds() / MANY;
    const [least, most] = [Math.min(...counts), Math.max(...counts)];
    t.ok(least >= mean / 2 && most <= 2 * mean, `${least} to ${most} rounds, ${mean} in the mean`);

    const busy = callers.filter((_, i) => i % 10 === 0);
    for (const caller of callers) caller.going = busy.includes(caller);
    // Those that carry something hold at least 90 % of what is held.
    await until('the others to give theirs back', () => busy.length * EACH >= 0.9 * held(), 60);
    t.ok(onSharedMemory(busy) === busy.length && held() >= busy.length * EACH, 'and those in use stay');

    for (const caller of callers) caller.going = false;
    await until('all of it to be back', () => held() === 0, 60);
    t.equal(onSharedMemory(callers), 0);
    t.ok(callers.every(({ socket }) => socket.pathReason === 'idle'));

    const before = callers.map(({ rounds }) => rounds);
    for (const caller of busy) caller.start();
    await until('traffic to bring them over again', () => onSharedMemory(busy) === busy.length, 60);
    await until(
      'answers',
      () => busy.every(({ rounds }) => rounds > 2 + Math.max(...before) - Math.min(...before)),
      60,
    );
    t.same(
      callers.filter(({ error }) => error !== null),
      [],
    );
  },
);

t.test('no memory for all: the rest is on TCP, and comes over when there is some', async (t) => {
  const COUNT = 60;
  // The tables, and room for about half of them.
  const region = { size: 2 << 20, slots: 8, channels: 128, quota: { heap: 1 } };
  const { callers, held, host } = await setMany(t, COUNT, region, { idleMs: 1000 });
  for (const caller of callers) caller.start();
  const settled = (): boolean =>
    callers.every(({ socket }) => socket.path === 'shared-memory' || socket.pathReason === 'no-channel');
  await until('those that fit', () => settled() && held() > 0, 60);
  const fit = onSharedMemory(callers);
  t.ok(fit > 5 && fit < COUNT, `${fit} of ${COUNT}`);
  t.ok(host.status().regions[0]!.freeHeapBytes < EACH, 'there is no room for one more');
  const before = callers.map(({ rounds }) => rounds);
  await until(
    'all to go on, whichever way',
    () => callers.every(({ rounds }, i) => rounds > before[i]! + 5),
    60,
  );

  const [leaving, staying] = [callers.slice(0, COUNT / 2), callers.slice(COUNT / 2)];
  for (const { socket } of leaving) socket.destroy();
  await until('the rest to come over', () => onSharedMemory(staying) >= Math.min(fit, staying.length), 60);
  for (const caller of staying) caller.going = false;
  await until('all of it to be back', () => held() === 0, 60);
  t.same(
    staying.filter(({ error }) => error !== null),
    [],
  );
});

t.test('who carries much gets a larger channel, as long as nobody goes without', async (t) => {
  const region = { size: 8 << 20, slots: 8, channels: 256, quota: { heap: 1 } };
  const {
    callers,
    held,
    host,
    peer,
    region: joined,
  } = await setMany(t, 1, region, { idleMs: 500, maxDataBytes: 1 << 20 });
  const stream = connect({ port: peer.echo, host: '127.0.0.1', region: joined });
  const chunk = Buffer.alloc(100_003);
  for (let i = 0; i < chunk.length; i++) chunk[i] = i;
  let sent = 0;
  let received = 0;
  let wrong = 0;
  let going = true;
  stream.on('data', (data: Buffer) => {
    for (let i = 0; i < data.length; i += 61)
      if (data[i] !== (((received + i) % chunk.length) & 0xff)) wrong++;
    received += data.length;
  });
  const write = (): void => {
    while (going) {
      sent += chunk.length;
      if (!stream.write(chunk)) return;
    }
  };
  stream.on('drain', write);
  await once(stream, 'connect');
  const resized = (): number => counters().reasons.resized ?? 0;
  const first = resized();
  write();
  const largest = channelLayout(QUEUE_SIZE, 1 << 20).bytes;
  // In two steps; and it is held before the one in use is left.
  await until('the largest there is', () => held() >= largest && resized() >= first + 2, 60);

  const room = held() + host.status().regions[0]!.freeHeapBytes;
  const count = Math.floor(room / EACH) - callers.length - 2;
  for (let i = 0; i < count; i++) callers.push(new Caller(connect({ port: peer.echo, host: '127.0.0.1' })));
  for (const caller of callers) caller.start();
  await until('room for all', () => onSharedMemory(callers) === callers.length, 100);
  // `busy`: its next offer was there before what the peer hears on TCP of the end of the one before.
  t.ok(
    stream.path === 'shared-memory' ||
      ['resized', 'no-channel', 'unread', 'busy'].includes(stream.pathReason),
    stream.pathReason,
  );

  for (const caller of callers) caller.going = false;
  going = false;
  await until('all of it to come back', () => received === sent, 60);
  await until('all memory to be back', () => held() === 0, 60);
  t.equal(wrong, 0);
  stream.destroy();
});
