import t from 'tap';
import { type ChannelPair, channelPair, drain, turn } from '../support/channel-pair.ts';

/** A channel whose ring holds something that breaks it, for `b`. */
function sabotaged(): ChannelPair {
  const pair = channelPair();
  pair.a.send(Uint8Array.of(1));
  pair.a.send(Uint8Array.of(2));
  new Int32Array(pair.memory)[pair.record.offset / 4] = 0; // the address of the first descriptor
  return pair;
}

t.test('the peer goes: writers are told, readers get the rest, callbacks run once', async (t) => {
  const { a, b, hostA, hostB, settle } = channelPair({ queueSize: 2 });
  const ends: string[] = [];
  b.onEnd((end) => ends.push(end));
  a.send(Uint8Array.of(1));
  b.send(Uint8Array.of(1));
  b.send(Uint8Array.of(2));
  const write = b.write(Uint8Array.of(3));
  const writable = b.writable(1);
  const large = channelPair({ queueSize: 2 });
  const parts = large.a.write(new Uint8Array(100_000));
  await turn();
  large.a.peerGone('died');
  t.equal(await parts, false);
  t.equal(large.hostA.waiters, 0);
  a.close();
  b.peerGone('died');
  b.peerGone('closed');
  t.same([await write, await writable], [false, false]);
  t.same([b.end, ends], ['died', ['died']]);
  b.onEnd((end) => ends.push(end));
  t.same(ends, ['died', 'died'], 'at once, when it is over already');
  t.equal(b.reserve(1), null);
  t.notOk(b.send(Uint8Array.of(1)));
  b.commit();
  t.same([...(await b.next())!.bytes], [1]);
  t.equal(await b.next(), null);
  await settle();
  t.same([hostA.waiters, hostB.waiters], [0, 0]);
});

t.test('the peer goes: the handler gets the rest, then nobody waits any more', async (t) => {
  const { a, b, hostB, settle } = channelPair({ queueSize: 256, dataBytes: 65536 });
  const seen: number[] = [];
  b.serve((message) => void seen.push(message.bytes[0]!));
  await settle();
  for (let i = 0; i < 100; i++) a.send(Uint8Array.of(i));
  hostB.marked = false; // its doorbell was lost with the peer
  b.peerGone('died');
  t.equal(hostB.waiters, 1, 'still messages to hand over');
  await settle();
  t.equal(seen.length, 100);
  t.equal(hostB.waiters, 0);
});

t.test(
  'close: idempotent, tells the server once, sends no half-made message, ends everything here',
  async (t) => {
    const { a, b, hostA } = channelPair();
    const ends: string[] = [];
    a.onEnd((end) => ends.push(end));
    a.send(Uint8Array.of(1));
    a.reserve(100);
    const next = a.next();
    a.close();
    a.close();
    a[Symbol.dispose]();
    t.equal(await next, null);
    t.same([a.end, ends, hostA.released, hostA.waiters], ['closed-here', ['closed-here'], 1, 0]);
    t.same(drain({ a, b } as ChannelPair), [[1]]);
    t.equal(a.receive(), null);
    t.equal(a.reserve(1), null);
    t.equal(await a.write(Uint8Array.of(1)), false);
    a.release();
    a.signal();
    a.serve(() => {});
    t.equal(hostA.waiters, 0, 'serving a closed channel waits for nothing');
    t.equal(a.end, 'closed-here');
  },
);

t.test(
  'close: who throws when told of the end costs neither the others nor the server its word',
  async (t) => {
    const { a, hostA } = channelPair();
    const ends: string[] = [];
    a.onEnd(() => {
      throw new Error('of the first');
    });
    a.onEnd((end) => ends.push(end));
    const next = a.next();
    t.throws(() => a.close(), { message: 'of the first' });
    t.same([a.end, ends, hostA.released], ['closed-here', ['closed-here'], 1]);
    t.equal(await next, null);
    t.equal(hostA.waiters, 0);
  },
);

t.test('close after the peer closed wakes who still reads', async (t) => {
  const { b, hostB } = channelPair();
  b.peerGone('closed');
  b.close();
  t.equal(b.end, 'closed', 'what ended it first stays');
  t.equal(b.receive(), null);
  t.equal(hostB.released, 1);
  t.equal(await b.next(), null);
});

const broken = { code: 'ERR_IVSHMEM_QUEUE_BROKEN' };

t.test('a corrupt ring ends the channel with a typed error: receive', async (t) => {
  const { b } = sabotaged();
  const ends: string[] = [];
  b.onEnd((end) => ends.push(end));
  t.throws(() => b.receive(), broken);
  t.same([b.end, ends], ['broken', ['broken']]);
  t.match(b.error, broken);
  t.equal(b.receive(), null);
  t.equal(await b.next(), null, 'whatever is in the ring');
  t.equal(b.reserve(1), null);
  b.close();
  t.equal(b.end, 'broken');
});

t.test('a corrupt ring ends the channel with a typed error: next, iteration, spin', async (t) => {
  const one = sabotaged();
  await t.rejects(one.b.next(), broken);
  const two = sabotaged();
  await t.rejects(async () => {
    for await (const message of two.b) t.fail(`${message.length}`);
  }, broken);
  const three = sabotaged();
  t.throws(() => three.b.spin(1e9), broken);
  for (const { b, hostB } of [one, two, three]) t.same([b.end, hostB.waiters], ['broken', 0]);
});

t.test('a corrupt ring ends the channel with a typed error: serve', async (t) => {
  const { b, hostB } = sabotaged();
  b.serve(() => t.fail('no message'));
  hostB.serve();
  t.same([b.end, hostB.waiters], ['broken', 0], 'nobody waits for it any more');
  t.match(b.error, broken);
  b.signal();
  b.serve(() => {});
  t.equal(hostB.waiters, 0);
});

t.test('a corrupt ring ends the channel with a typed error: the sending side', async (t) => {
  for (const how of ['reserve', 'send', 'write', 'parts', 'writable'] as const) {
    const { a, b, memory, record } = channelPair({ queueSize: 2 });
    a.send(Uint8Array.of(1));
    a.send(Uint8Array.of(2));
    // Used, with an ID that is not outstanding.
    const pokeUsed = (): void => {
      new Int32Array(memory)[record.offset / 4 + 3] = (0x8080 << 16) | 0x7ff0;
    };
    if (how === 'reserve') {
      pokeUsed();
      t.throws(() => a.reserve(1), broken);
    } else if (how === 'send') {
      pokeUsed();
      t.throws(() => a.send(Uint8Array.of(3)), broken);
    } else {
      const waits =
        how === 'writable' ? a.writable(1) : a.write(new Uint8Array(how === 'parts' ? 10_000 : 1));
      // A writable() that waits is only told to try again, and finds out then.
      const told =
        how === 'writable'
          ? waits.then((again) => again && t.throws(() => a.reserve(1), broken))
          : t.rejects(waits, broken, how);
      await turn();
      pokeUsed();
      a.signal();
      await told;
      t.equal(await a.writable(1), false, 'and stays so');
    }
    t.equal(a.end, 'broken', how);
    t.match(a.error, broken);
    t.equal(b.end, null, 'the other side is told by the server, when we close');
  }
});

t.test('an over-long message in parts ends the channel', async (t) => {
  const { a, b, settle } = channelPair({ maxMessageBytes: 5000 });
  const write = a.write(new Uint8Array(20_000));
  b.serve(() => t.fail('no message'));
  await settle();
  t.equal(b.end, 'broken');
  t.match(b.error, { code: 'ERR_IVSHMEM_MESSAGE_TOO_LARGE' });
  a.peerGone('closed');
  t.equal(await write, false);
});

t.test('an exception that is no fault of the ring is not swallowed', async (t) => {
  const { a, b, hostB } = channelPair({ queueSize: 2 });
  a.send(Uint8Array.of(1));
  a.send(Uint8Array.of(2));
  const write = a.write(Uint8Array.of(3));
  await turn();
  const mistake = new TypeError('a mistake in notifying');
  b.serve(() => {});
  hostB.notifyPeer = () => {
    throw mistake;
  };
  t.throws(() => hostB.serve(), mistake);
  t.equal(b.end, null);
  a.close();
  t.equal(await write, false);
});
