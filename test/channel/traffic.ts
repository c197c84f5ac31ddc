/** What a channel counts, and where its member publishes it. */
import t from 'tap';
import { createServer } from '../../src/host/index.ts';
import { open, openDevice, Region } from '../../src/index.ts';
import {
  CHANNEL_BYTES,
  CHANNEL_STATISTICS,
  CHANNEL_W,
  CONTROL_BIT,
  channelLayout,
  MEMBER_W,
  PAGE_BYTES,
  STATISTICS,
  type StatisticName,
} from '../../src/memory/layout.ts';
import { post } from '../../src/memory/pending.ts';
import { channelPair } from '../support/channel-pair.ts';
import { until } from '../support/protocol/until.ts';
import { Random, testSeed } from '../support/random.ts';

t.test('messages and bytes of both directions, however they are sent and received', async (t) => {
  const seed = testSeed();
  const random = new Random(seed);
  const { a, b } = channelPair({ queueSize: 16, dataBytes: 8192 });
  let messages = 0;
  let bytes = 0;
  let received = 0;
  let receivedBytes = 0;
  for (let round = 0; round < 3000; round++) {
    const length = random.below(700);
    const how = random.below(4);
    if (how === 0 && a.send(new Uint8Array(length))) {
      messages++;
      bytes += length;
    } else if (how === 1 && a.reserve(length) !== null) {
      const shorter = random.below(length + 1);
      a.commit(shorter);
      messages++;
      bytes += shorter;
    } else if (how === 2) {
      const burst = a.reserveBurst(1 + random.below(8), length);
      if (burst !== null) {
        messages += burst.count;
        bytes += burst.count * length;
        a.commit();
      }
    }
    if (random.oneIn(2)) {
      const burst = b.receiveBurst();
      for (let i = 0; burst !== null && i < burst.count; i++) {
        received++;
        receivedBytes += burst.lengths[i]!;
      }
    } else {
      const message = b.receive();
      if (message !== null) {
        received++;
        receivedBytes += message.length;
      }
    }
    if (random.oneIn(3)) b.release();
    const sent = a.traffic();
    if (sent.messagesSent !== messages || sent.bytesSent !== bytes) {
      t.same(sent, { messagesSent: messages, bytesSent: bytes }, `round ${round}, seed ${seed}`);
      return;
    }
    const got = b.traffic();
    if (got.messagesReceived !== received || got.bytesReceived !== receivedBytes) {
      t.same(
        got,
        { messagesReceived: received, bytesReceived: receivedBytes },
        `round ${round}, seed ${seed}`,
      );
      return;
    }
  }
  t.ok(messages > 500 && received > 500, `${messages} sent, ${received} received`);
  t.same([a.traffic().messagesReceived, b.traffic().messagesSent], [0, 0]);
});

t.test('a message in parts is one message', async (t) => {
  const { a, b, settle } = channelPair({ queueSize: 16, dataBytes: 4096 });
  let got = 0;
  b.serve((message) => {
    got += message.length;
  });
  const written = a.write(new Uint8Array(100_000));
  await settle();
  t.ok(await written);
  t.equal(got, 100_000);
  t.match(a.traffic(), { messagesSent: 1, bytesSent: 100_000 });
  t.match(b.traffic(), { messagesReceived: 1, bytesReceived: 100_000 });
});

t.test('a pulse has the sums published, and each channel its own counts', async (t) => {
  const socket = `@ivshmem-traffic-test-${process.pid}`;
  const server = await createServer({ regions: [{ name: 'test', socket, size: 16 << 20 }] });
  t.teardown(() => server.close());
  const a = await open({ socket, name: 'a', addresses: [] });
  const b = await open({ socket, name: 'b', addresses: [] });
  t.teardown(() => Promise.all([a.close(), b.close()]));
  const listener = await b.listen('s');
  const [gone, near] = [await a.connect('s'), await a.connect('s')];
  const [farGone, far] = [(await listener.accept())!, (await listener.accept())!];
  gone.send(new Uint8Array(7));
  gone.close();
  farGone.close();
  for (let i = 0; i < 3; i++) near.send(new Uint8Array(100));
  far.send(new Uint8Array(50));
  const words = new Int32Array(a.device.memory);
  const block = ((a.header.memberPage + a.slot) * PAGE_BYTES) / 4;
  const pulse = (number: number): Promise<void> => {
    Atomics.store(words, block + MEMBER_W.pulse, number);
    if (post(words, block, CONTROL_BIT)) b.device.ring(a.slot, 0);
    return until('an answer', () => Atomics.load(words, block + MEMBER_W.pulseAnswer) === number, 10);
  };
  const statistic = (name: StatisticName): number => {
    const at = block + MEMBER_W.statistics + 2 * STATISTICS.indexOf(name);
    return (words[at]! >>> 0) + (words[at + 1]! >>> 0) * 2 ** 32;
  };
  await pulse(41);
  const message = (await near.next())!;
  near.release(message);
  await pulse(42);
  t.same(
    ['messagesSent', 'bytesSent', 'messagesReceived', 'bytesReceived', 'channelsOpened', 'channelsEnded'].map(
      (name) => statistic(name as StatisticName),
    ),
    [4, 307, 1, 50, 2, 1],
  );
  t.ok(statistic('doorbellsRung') > 0);
  const entry = (a.header.channelTablePage * PAGE_BYTES + near.number * CHANNEL_BYTES) / 4;
  const start = words[entry + CHANNEL_W.firstPage]! * PAGE_BYTES;
  const { directions } = channelLayout(256, 256 << 10);
  const at = (start + directions[0].driverEvent + CHANNEL_STATISTICS) / 4;
  t.same([...words.slice(at, at + 4)], [3, 0, 300, 0]);
  near.send(new Uint8Array(1));
  t.equal(near.traffic().messagesSent, 4, 'it works on beside them');
});

t.test(
  'what one listener throws keeps nobody else from hearing of an end, nor the region from closing',
  async (t) => {
    const socket = `@ivshmem-throwing-test-${process.pid}`;
    const server = await createServer({ regions: [{ name: 'test', socket, size: 16 << 20 }] });
    t.teardown(() => server.close());
    const a = await open({ socket, name: 'a', addresses: [] });
    const b = await open({ socket, name: 'b', addresses: [] });
    const listener = await b.listen('s');
    const near = [await a.connect('s'), await a.connect('s'), await a.connect('s')];
    for (let i = 0; i < 3; i++) (await listener.accept())!;
    const ends: string[] = [];
    near[0]!.onEnd(() => {
      throw new Error('from a listener');
    });
    for (const channel of near) channel.onEnd((end) => ends.push(end));
    await t.rejects(a.close(), { message: 'from a listener' });
    t.same(ends, ['closed-here', 'closed-here', 'closed-here']);
    t.throws(() => a.device.memory, { code: 'ERR_IVSHMEM_CLOSED' }, 'all was released');
    const members = await b.membership();
    await until('the others see it go', () => members.list().length === 1, 10);
    await b.close();
  },
);

t.test('an unplugged device: its channels end as died, and stay so', async (t) => {
  const socket = `@ivshmem-unplug-test-${process.pid}`;
  const server = await createServer({ regions: [{ name: 'test', socket, size: 16 << 20 }] });
  t.teardown(() => server.close());
  const device = await openDevice({ socket });
  let unplug = (): void => {};
  device.onRemoved = (callback) => {
    unplug = callback;
  };
  const a = await Region.join(device, { name: 'a', addresses: [] });
  const b = await open({ socket, name: 'b', addresses: [] });
  t.teardown(() => b.close());
  const listener = await b.listen('s');
  const near = await a.connect('s');
  const far = (await listener.accept())!;
  const listens = await a.listen('t');
  const waits = near.next();
  const members = await a.membership();
  const events = members[Symbol.asyncIterator]().next();
  unplug();
  t.equal(near.end, 'died');
  t.equal(await waits, null);
  t.equal((await events).done, true);
  t.equal(await listens.accept(), null);
  near.close();
  t.equal(near.end, 'died');
  await a.close();
  await until('the other side', () => far.end !== null, 10);
});
