/** Two processes of this host, TCP over loopback, and a region between them. */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { connect, counters, type Socket } from '../../src/net/index.ts';
import { stateOf } from '../../src/net/socket.ts';
import { until } from '../support/protocol/until.ts';
import { Random, testSeed } from '../support/random.ts';
import { setScene } from './support/scene.ts';

const seed = testSeed();
const SOCKETS = 12;
const SWITCHES = 1000;
const MOST_SECONDS = 200;
t.setTimeout(360_000);

/** Byte `offset` of the stream that socket `index` sends. */
const byteAt = (index: number, offset: number): number =>
  (Math.imul(offset + index, 0x9e3779b1) >>> 11) & 0xff;

/** Resolves when the socket takes more, or no more. */
async function drained(socket: Socket): Promise<void> {
  const over = new AbortController();
  const { signal } = over;
  const either = ['drain', 'close'].map((event) => once(socket, event, { signal }).catch(() => {}));
  await Promise.race(either);
  over.abort();
}

/** Writes random chunks for as long as `going`, and compares what comes back. */
class Stream {
  readonly socket: Socket;
  readonly #index: number;
  readonly #random: Random;
  sent = 0;
  received = 0;
  wrong = -1;
  ended = false;
  error: Error | null = null;

  constructor(socket: Socket, index: number, random: Random) {
    this.socket = socket;
    this.#index = index;
    this.#random = random;
    socket.on('error', (error) => {
      this.error = error;
    });
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('data', (data: Buffer) => {
      for (let i = 0; i < data.length; i++) {
        if (data[i] !== byteAt(index, this.received + i) && this.wrong < 0) this.wrong = this.received + i;
      }
      this.received += data.length;
    });
  }

  async run(going: () => boolean): Promise<void> {
    while (going() && this.error === null) {
      const length = this.#random.oneIn(12) ? this.#random.below(80_000) : 1 + this.#random.below(2000);
      const data = Buffer.alloc(length);
      for (let i = 0; i < length; i++) data[i] = byteAt(this.#index, this.sent + i);
      this.sent += length;
      if (!this.socket.write(data)) await drained(this.socket);
      if (this.#random.oneIn(4)) await delay(this.#random.below(3));
    }
    this.socket.end();
  }
}

t.test(`switching at random under load, both ways (seed ${seed})`, async (t) => {
  const { region, peer } = await setScene(t, seed);
  const random = new Random(seed);
  const streams = Array.from({ length: SOCKETS }, (_, i) => {
    const socket = connect({ port: peer.echo, host: '127.0.0.1', region, allowHalfOpen: i % 2 === 0 });
    return new Stream(socket, i, new Random(seed + i));
  });
  const before = counters();
  const switches = (): number =>
    counters().toSharedMemory + counters().toTcp - before.toSharedMemory - before.toTcp;
  await peer.tell('switch');
  const until = Date.now() + MOST_SECONDS * 1000;
  const going = (): boolean => switches() < SWITCHES && Date.now() < until;
  const switching = setInterval(() => {
    for (const { socket } of streams) if (random.oneIn(20)) stateOf(socket).link?.session.leave('asked');
  }, 1);
  await Promise.all(streams.map((stream) => stream.run(going)));
  // Half-closed from here on, and what was sent is still on its way back, over changing paths.
  await Promise.all(streams.map(({ socket }) => (socket.closed ? null : once(socket, 'close'))));
  clearInterval(switching);
  await peer.tell('still');
  for (const { sent, received, wrong, ended, error } of streams) {
    if (error !== null || !ended || received !== sent || wrong >= 0)
      t.fail(`sent ${sent}, received ${received}, wrong at ${wrong}, ended ${ended}, ${error}`);
  }
  t.ok(switches() >= SWITCHES, `${switches()} switches`);
  t.ok(streams.reduce((sum, { sent }) => sum + sent, 0) > 1e6, 'megabytes went both ways');
});

t.test('a writer is held back until the reader reads', async (t) => {
  const { peer, shared } = await setScene(t);
  const socket = await shared(peer.slow);
  const chunk = Buffer.alloc(64 << 10);
  let written = 0;
  while (written < 64 << 20) {
    const room = socket.write(chunk);
    written += chunk.length;
    if (!room && !(await Promise.race([once(socket, 'drain'), delay(300, false)]))) break;
  }
  t.ok(written < 8 << 20, `after ${written} bytes it has to wait`);
  t.ok(socket.bytesWritten <= written);
  socket.end();
  await peer.tell('read');
  await until('all of it to arrive', () => peer.said.some(({ ended }) => ended === written));
  t.pass('every byte');
});

t.test('a reader that stands still does not have more and more to keep', async (t) => {
  const { peer, shared } = await setScene(t);
  const socket = await shared(peer.slow);
  const chunk = Buffer.alloc(64 << 10);
  let written = 0;
  // Each time the way back to TCP has it take in what the kernels hold, so that it hears what is said behind that.
  await until(
    'no more shared memory for it',
    () => {
      if (socket.path === 'shared-memory') stateOf(socket).link?.session.leave('asked');
      while (!socket.writableNeedDrain) {
        socket.write(chunk);
        written += chunk.length;
      }
      return socket.pathReason === 'unread';
    },
    60,
  );
  await peer.tell('read');
  await until('shared memory, once it reads', () => socket.path === 'shared-memory', 60);
  socket.end();
  await until('all of it to arrive', () => peer.said.some(({ ended }) => ended === written), 60);
  t.pass(`${written} bytes`);
});

t.test('large writes', async (t) => {
  const { peer, shared } = await setScene(t);
  const socket = await shared(peer.echo);
  const data = Buffer.alloc(20 << 20);
  for (let i = 0; i < data.length; i += 4) data.writeInt32LE(i, i);
  const parts: Buffer[] = [];
  socket.on('data', (part) => parts.push(part));
  socket.end(data);
  await once(socket, 'end');
  t.ok(Buffer.concat(parts).equals(data));
  // The end may come while it goes from a channel to a larger one, or while much is unread or the end is known, and no offer is made for that.
  t.match(
    `${socket.path} ${socket.pathReason}`,
    /^(shared-memory none|tcp (resized|busy|unread|half-closed))$/,
  );
});

t.test('the peer drains, its region closes, ours closes: the connection goes on', async (t) => {
  const { host, region, peer, shared } = await setScene(t);
  const sockets = [await shared(peer.echo), await shared(peer.echo), await shared(peer.echo)];
  let received = 0;
  for (const socket of sockets) socket.on('data', (data) => (received += data.length));
  const ask = async (): Promise<void> => {
    const before = received;
    for (const socket of sockets) socket.write('x'.repeat(1000));
    await until('the answers', () => received === before + 1000 * sockets.length);
  };
  await ask();
  await peer.tell('drain');
  await until('TCP', () => sockets.every(({ path }) => path === 'tcp'));
  t.equal(sockets[0]!.pathReason, 'leaving');
  await ask();
  await peer.tell('leave');
  await ask();
  await region.close();
  await ask();
  await host.close();
  await ask();
  t.ok(sockets.every(({ destroyed }) => !destroyed));
  for (const socket of sockets) socket.destroy();
});

t.test('our region closes while bytes fly', async (t) => {
  const { region, peer, shared } = await setScene(t);
  const socket = await shared(peer.echo);
  const stream = new Stream(socket, 5, new Random(seed));
  let going = true;
  const done = stream.run(() => going);
  await until('some bytes', () => stream.received > 1 << 20);
  await region.close();
  const { received } = stream;
  await until('some more', () => stream.received > received + (1 << 20));
  t.equal(socket.path, 'tcp');
  t.match(socket.pathReason, /^(channel-lost|no-channel)$/, 'lost, and not to be had again');
  going = false;
  await done;
  await once(socket, 'close');
  t.same([stream.received, stream.wrong, stream.error], [stream.sent, -1, null]);
});

t.test('the peer is killed: what the kernel says is what the program hears', async (t) => {
  const { peer, shared } = await setScene(t);
  const socket = await shared(peer.echo, { allowHalfOpen: true });
  let code = '';
  let ended = false;
  socket.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code!;
  });
  socket.on('data', () => {});
  socket.on('end', () => {
    ended = true;
  });
  peer.child.kill('SIGKILL');
  await until('the end, or a reset', () => ended || code !== '');
  const writing = setInterval(() => socket.write('into the void'), 5);
  await until('a write to fail', () => socket.destroyed);
  clearInterval(writing);
  t.match(code, /^(ECONNRESET|EPIPE)$/);
});

t.test('destroying it mid-stream is what it is with TCP', async (t) => {
  const { peer, shared } = await setScene(t);
  const sockets = [await shared(peer.echo), await shared(peer.echo)];
  sockets[0]!.write('something');
  await once(sockets[0]!, 'data');
  sockets[0]!.destroy();
  await once(sockets[0]!, 'close');
  sockets[1]!.resetAndDestroy();
  await once(sockets[1]!, 'close');
  await until('a reset there', () => peer.said.some(({ error }) => error === 'ECONNRESET'));
  t.equal(peer.said.filter(({ error }) => error !== undefined).length, 1, 'and none for the other');
});
