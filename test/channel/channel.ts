import t from 'tap';
import { channelPair, drain, pattern, turn } from '../support/channel-pair.ts';

t.test('both directions; identity; capacity; areas', async (t) => {
  const pair = channelPair();
  const { a, b } = pair;
  t.same([a.number, a.service, a.peer, b.peer], [7, 'test', 2, 1]);
  t.equal(a.capacity, 4096);
  t.equal(a.outgoing.bytes.byteOffset, b.incoming.bytes.byteOffset);
  t.equal(a.incoming.words.byteOffset, b.outgoing.words.byteOffset);
  t.ok(a.send(Uint8Array.of(1, 2)));
  t.ok(b.send(Uint8Array.of(3)));
  t.same(drain(pair, 'b'), [[1, 2]]);
  t.same(drain(pair, 'a'), [[3]]);
});

t.test('reserve and commit: a burst, the last one shortened', async (t) => {
  const pair = channelPair();
  const { a } = pair;
  for (let i = 0; i < 3; i++) a.reserve(8)!.bytes.fill(i);
  t.same(drain(pair), []);
  a.commit(2);
  t.same(drain(pair), [
    [0, 0, 0, 0, 0, 0, 0, 0],
    [1, 1, 1, 1, 1, 1, 1, 1],
    [2, 2],
  ]);
  t.throws(() => a.reserve(4097), { code: 'ERR_IVSHMEM_MESSAGE_SIZE' });
  t.throws(() => a.send(new Uint8Array(4097)), { code: 'ERR_IVSHMEM_MESSAGE_SIZE' });
  for (const wrong of [4097, -1, Number.NaN])
    await t.rejects(a.writable(wrong), { code: 'ERR_IVSHMEM_MESSAGE_SIZE' });
  t.equal(a.end, null, 'a mistake of the caller ends nothing');
  a.reserve(8);
  t.throws(() => a.commit(9), { code: 'ERR_IVSHMEM_MESSAGE_SIZE' });
});

t.test('a doorbell only for who asked: a receiver that polls, one that waits', async (t) => {
  const { a, b, hostA, hostB, settle } = channelPair();
  t.equal(b.spin(1000), null);
  a.send(Uint8Array.of(1));
  t.equal(hostA.notified, 0, 'the other side polls');
  t.ok(b.spin(1e9));
  b.release();
  const next = b.next();
  await turn();
  t.equal(hostB.waiters, 1);
  a.send(Uint8Array.of(2));
  t.equal(hostA.notified, 1);
  await settle();
  t.same([...(await next)!.bytes], [2]);
  t.equal(hostB.waiters, 0);
});

t.test('spin: finds what comes meanwhile, serves the region, gives up, ends with the channel', async (t) => {
  const { a, b, hostB } = channelPair();
  let polls = 0;
  hostB.onPoll = () => {
    if (++polls === 3) a.send(Uint8Array.of(9));
  };
  t.same([...b.spin(60e9)!.bytes], [9]);
  hostB.onPoll = () => b.close();
  t.equal(b.spin(60e9), null);
  t.equal(channelPair().b.spin(0), null);
});

t.test('spin leaves notifications on for others who wait on the channel', async (t) => {
  const pair = channelPair();
  const { a, b, settle } = pair;
  const next = b.next();
  await turn();
  t.equal(b.spin(1000), null);
  a.send(Uint8Array.of(5));
  await settle();
  t.same([...(await next)!.bytes], [5]);
  const seen: number[] = [];
  b.serve((message) => void seen.push(message.bytes[0]!));
  await settle();
  t.equal(b.spin(1000), null);
  a.send(Uint8Array.of(6));
  await settle();
  t.same(seen, [6]);
});

t.test('next: several wait, each gets one; closing ends them all', async (t) => {
  const { a, b, hostB, settle } = channelPair();
  const waiting = [b.next(), b.next(), b.next()];
  await turn();
  a.send(Uint8Array.of(1));
  a.send(Uint8Array.of(2));
  await settle();
  t.equal((await waiting[0])!.bytes[0], 1);
  t.equal((await waiting[1])!.bytes[0], 2);
  b.close();
  t.equal(await waiting[2], null);
  t.equal(hostB.waiters, 0);
});

t.test('next after close, with messages left in the ring, ends instead of looking for ever', async (t) => {
  const { a, b } = channelPair();
  a.send(Uint8Array.of(1));
  b.close();
  t.equal(await b.next(), null);
  t.equal(b.receive(), null);
});

t.test('a flood of messages, or of parts without end, leaves the loop its turns', async (t) => {
  for (const more of [0, 1]) {
    const { b, memory, record } = channelPair({ queueSize: 16 });
    // A peer that makes a new buffer available whenever it is looked at: each release of ours is answered.
    const words = new Int32Array(memory);
    const ring = record.offset / 4;
    const data = record.offset + 4096;
    let position = 0;
    const refill = (): void => {
      for (let i = 0; i < 16; i++, position++) {
        const at = ring + (position & 15) * 4;
        words.set([data, 0, 0], at);
        words[at + 3] = (((position & 16) === 0 ? 0x80 : 0x8000) << 16) | (more << 15) | (position & 15);
      }
    };
    refill();
    const release = b.release.bind(b);
    let turns = 0;
    let messages = 0;
    let stop = false;
    const ticking = (async () => {
      for (; !stop; turns++) await turn();
    })();
    if (more === 0) {
      for await (const message of b) {
        release(message);
        messages++;
        if (messages % 16 === 0) refill();
        if (messages >= 10_000) break;
      }
      t.ok(turns >= messages / 80, `${turns} turns of the loop during ${messages} messages`);
    } else {
      const timer = setInterval(() => {}, 1);
      const next = b.next();
      for (let i = 0; i < 50; i++) {
        await turn();
        refill();
      }
      b.close();
      t.equal(await next, null);
      t.ok(turns >= 40, `${turns} turns while parts came`);
      clearInterval(timer);
    }
    stop = true;
    await ticking;
  }
});

t.test('iterating releases each message when the next is asked for, and on break', async (t) => {
  const pair = channelPair({ queueSize: 4 });
  const { a, b, settle } = pair;
  for (let i = 0; i < 4; i++) a.send(Uint8Array.of(i));
  t.notOk(a.send(Uint8Array.of(4)));
  const seen: number[] = [];
  for await (const message of b) {
    t.ok(message.lent);
    seen.push(message.bytes[0]!);
    if (seen.length === 2) break;
  }
  t.same(seen, [0, 1]);
  await settle();
  t.ok(a.send(Uint8Array.of(4)), 'both came back');
  a.close();
  b.peerGone('closed');
  for await (const message of b) seen.push(message.bytes[0]!);
  t.same(seen, [0, 1, 2, 3, 4], 'what was sent before the close is received after it');
});

t.test('serve: straight from the loop, 64 in a row, then the others have their turn', async (t) => {
  const { a, b, hostB } = channelPair({ queueSize: 256, dataBytes: 65536 });
  for (let i = 0; i < 150; i++) a.send(Uint8Array.of(i));
  const seen: number[] = [];
  b.serve((message) => void seen.push(message.bytes[0]!));
  t.same([hostB.waiters, hostB.posted, seen.length], [1, 1, 0]);
  hostB.serve();
  t.same([seen.length, hostB.posted], [64, 2]);
  hostB.serve();
  t.same([seen.length, hostB.posted], [128, 3]);
  hostB.serve();
  t.same([seen.length, hostB.posted], [150, 3], 'nothing left, nothing posted');
  t.same(
    seen,
    Array.from({ length: 150 }, (_, i) => i),
  );
  b.serve(null);
  t.equal(hostB.waiters, 0);
  a.send(Uint8Array.of(1));
  b.signal();
  t.equal(seen.length, 150);
});

t.test('serve: a large message in parts counts each part, and arrives once', async (t) => {
  const { a, b, settle } = channelPair({ queueSize: 4 });
  const whole = pattern(100_000, 1);
  const seen: Uint8Array[] = [];
  b.serve((message) => void seen.push(message.copy()));
  const sent = a.write(whole);
  await settle();
  t.equal(await sent, true);
  t.equal(seen.length, 1);
  t.equal(Buffer.compare(seen[0]!, whole), 0);
});

t.test(
  'serve: an exception of the handler leaves signal, its message is released, the rest is served',
  async (t) => {
    const { a, b, hostB } = channelPair({ queueSize: 4 });
    for (let i = 0; i < 3; i++) a.send(Uint8Array.of(i));
    const seen: number[] = [];
    const oops = new Error('oops');
    b.serve((message) => {
      seen.push(message.bytes[0]!);
      if (seen.length === 1) throw oops;
    });
    t.throws(() => hostB.serve(), oops);
    t.equal(b.end, null);
    t.ok(hostB.marked, 'comes back for the others');
    hostB.serve();
    t.same(seen, [0, 1, 2]);
    hostB.serve();
    for (let i = 0; i < 3; i++) t.ok(a.send(Uint8Array.of(i)), 'all three came back');
  },
);

t.test('serve: the handler closes the channel, stops serving, or keeps a message', async (t) => {
  const closing = channelPair();
  for (let i = 0; i < 3; i++) closing.a.send(Uint8Array.of(i));
  let seen = 0;
  closing.b.serve(() => {
    seen++;
    closing.b.close();
  });
  closing.hostB.serve();
  t.same([seen, closing.b.end, closing.hostB.waiters, closing.hostB.released], [1, 'closed-here', 0, 1]);
  t.notOk(closing.hostB.marked);

  const stopping = channelPair();
  for (let i = 0; i < 3; i++) stopping.a.send(Uint8Array.of(i));
  stopping.b.serve(() => stopping.b.serve(null));
  stopping.hostB.serve();
  t.equal(stopping.hostB.waiters, 0);
  t.same(drain(stopping), [[1], [2]]);

  const early = channelPair();
  early.a.send(Uint8Array.of(1));
  early.b.serve((message) => early.b.release(message));
  early.hostB.serve();
  t.equal(early.b.end, null, 'a handler may release by itself');
});
