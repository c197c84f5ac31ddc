import t from 'tap';
import type { Message } from '../../src/channel/message.ts';
import { channelPair, pattern, turn } from '../support/channel-pair.ts';

t.test('write: whole, in parts, one after the other, and empty', async (t) => {
  const { a, b, settle } = channelPair({ queueSize: 4 });
  const sizes = [0, 1, 2048, 2049, 4096, 50_000, 3];
  const writes = sizes.map((size, i) => a.write(pattern(size, i)));
  const seen: Uint8Array[] = [];
  b.serve((message) => void seen.push(message.copy()));
  await settle();
  t.same(
    await Promise.all(writes),
    sizes.map(() => true),
  );
  t.same(
    seen.map((bytes) => bytes.length),
    sizes,
  );
  t.ok(seen.every((bytes, i) => Buffer.compare(bytes, pattern(sizes[i]!, i)) === 0));
});

t.test('between the parts of a large message nothing else is sent', async (t) => {
  const pair = channelPair({ queueSize: 4 });
  const { a, b, settle } = pair;
  const write = a.write(pattern(20_000, 1));
  await turn();
  t.equal(a.reserve(1), null);
  t.notOk(a.send(Uint8Array.of(1)));
  const writable = a.writable(1);
  let got: Message | null = null;
  b.serve((message) => {
    got = message;
  });
  await settle();
  t.equal(await write, true);
  t.equal(await writable, true);
  t.equal((got as Message | null)?.length, 20_000);
  t.ok(a.send(Uint8Array.of(1)));
});

t.test('back-pressure: a writer is woken in every order of its wait and the release', async (t) => {
  for (const releaseFirst of ['before it asks', 'while it asks', 'after it sleeps'] as const) {
    const { a, b, settle, hostA } = channelPair({ queueSize: 2 });
    t.ok(a.send(Uint8Array.of(1)));
    t.ok(a.send(Uint8Array.of(2)));
    t.notOk(a.send(Uint8Array.of(3)));
    const first = b.receive()!;
    const second = b.receive()!;
    if (releaseFirst === 'before it asks') b.release();
    const write = a.write(Uint8Array.of(3));
    if (releaseFirst === 'while it asks') b.release();
    await turn();
    if (releaseFirst === 'after it sleeps') {
      t.equal(hostA.waiters, 1);
      b.release(second);
      await settle();
      t.equal(hostA.waiters, 1, 'the oldest is still lent');
      b.release(first);
    }
    await settle();
    t.equal(await write, true, releaseFirst);
    t.equal(hostA.waiters, 0);
    t.same([...b.receive()!.bytes], [3]);
  }
});

t.test(
  'back-pressure: a receiver that sleeps with buffers held back gives them back when a writer waits',
  async (t) => {
    // 16 descriptors: up to 4 are held back. The receiver goes to sleep in next().
    const { a, b, settle } = channelPair({ queueSize: 16 });
    const seen: number[] = [];
    const reading = (async () => {
      for await (const message of b) {
        seen.push(message.length);
        if (seen.length === 3) return;
      }
    })();
    t.ok(await a.write(new Uint8Array(2000)));
    t.ok(await a.write(new Uint8Array(1900)));
    const third = a.write(new Uint8Array(2000));
    await settle();
    t.equal(await third, true);
    await settle();
    await reading;
    t.same(seen, [2000, 1900, 2000]);
  },
);

t.test('back-pressure: a writer that waits asks for what the receiver holds back', async (t) => {
  const { a, b, hostB, settle } = channelPair({ queueSize: 16 });
  hostB.waiting(1); // somebody in that region waits, though not on this channel
  a.send(new Uint8Array(500));
  b.release(b.receive()!); // too little to be given back at once
  a.send(new Uint8Array(3500));
  hostB.marked = false;
  const write = a.write(new Uint8Array(400));
  await settle();
  t.equal(await write, true);
});

t.test('back-pressure: several writers at once, none is forgotten', async (t) => {
  const { a, b, hostA, settle } = channelPair({ queueSize: 2 });
  let sent = 0;
  const writers = Array.from({ length: 20 }, async () => {
    while (a.reserve(64) === null) if (!(await a.writable(64))) return;
    a.commit();
    sent++;
  });
  let seen = 0;
  b.serve(() => void seen++);
  await settle();
  await Promise.all(writers);
  t.same([sent, seen, hostA.waiters], [20, 20, 0]);
});

t.test('writable resolves at once when there is room already', async (t) => {
  const { a, b, hostA } = channelPair();
  t.equal(await a.writable(4096), true, 'nothing is outstanding, so nothing would come back to wake us');
  t.equal(hostA.waiters, 0);
  b.close();
  a.peerGone('closed');
  t.equal(await a.writable(1), false);
});
