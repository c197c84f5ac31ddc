import t from 'tap';
import { DataRing } from '../../src/channel/data-ring.ts';
import { BURST_MESSAGES } from '../../src/channel/receiver.ts';
import { channelPair } from '../support/channel-pair.ts';
import { Random } from '../support/random.ts';

t.test('bursts and single messages mix in any order: nothing lost, changed or out of order', async (t) => {
  const random = new Random(20261);
  for (const [queueSize, dataBytes] of [
    [16, 4096],
    [256, 16384],
    [64, 65536],
  ] as const) {
    const { a, b } = channelPair({ queueSize, dataBytes });
    let sent = 0;
    let received = 0;
    for (let step = 0; step < 4000; step++) {
      const turn = random.below(4);
      if (turn < 2) {
        const length = 4 * (1 + random.below(60));
        if (turn === 0) {
          const burst = a.reserveBurst(1 + random.below(40), length);
          for (let i = 0; burst !== null && i < burst.count; i++) {
            a.outgoing.words[(burst.offset + i * burst.stride) >> 2] = sent++;
          }
        } else {
          const room = a.reserve(length);
          if (room !== null) a.outgoing.words[room.offset >> 2] = sent++;
        }
        a.commit();
      } else if (turn === 2) {
        const burst = b.receiveBurst();
        if (burst === null) continue;
        t.ok(burst.count <= BURST_MESSAGES, { diagnostic: false });
        for (let i = 0; i < burst.count; i++) {
          if (b.incoming.words[burst.offsets[i]! >> 2] !== received++)
            t.fail(`message ${received - 1} is wrong`);
        }
        b.release();
      } else {
        const message = b.receive();
        if (message === null) continue;
        if (b.incoming.words[message.offset >> 2] !== received++) t.fail(`message ${received - 1} is wrong`);
        b.release(message);
      }
    }
    t.ok(sent > 3000 && sent - received <= queueSize, `${queueSize}: ${sent} sent, ${received} received`);
    t.equal(a.end, null);
    t.equal(b.end, null);
  }
});

t.test('a burst stops before a message in parts, which receive joins', async (t) => {
  const { a, b, settle } = channelPair({ queueSize: 16, dataBytes: 4096 });
  const burst = a.reserveBurst(3, 16)!;
  t.equal(burst.count, 3);
  a.commit();
  const writing = a.write(new Uint8Array(6000).fill(7));
  await settle();
  t.equal(b.receiveBurst()!.count, 3);
  t.equal(b.receiveBurst(), null, 'the rest is in parts');
  b.release();
  const reading = b.next();
  await settle();
  const message = await reading;
  t.equal(message!.length, 6000);
  t.ok(await writing);
});

t.test('a burst is shorter than asked when the ring has less, and null when it has nothing', async (t) => {
  const { a, b } = channelPair({ queueSize: 16, dataBytes: 4096 });
  t.equal(a.reserveBurst(100, 8)!.count, 16);
  t.equal(a.reserveBurst(1, 8), null);
  a.commit();
  t.equal(b.receiveBurst()!.count, 16);
  t.equal(a.reserveBurst(1, 8), null, 'lent messages are not free');
  b.release();
  t.ok(a.reserveBurst(4, 8)!.count > 0);
  t.throws(() => a.reserveBurst(1, 1 << 20), { code: 'ERR_IVSHMEM_MESSAGE_SIZE' });
  a.close();
  t.equal(a.reserveBurst(1, 8), null);
});

t.test('released room is lent again though descriptors were never short', async (t) => {
  const { a, b } = channelPair();
  const quarter = (a.capacity >> 2) & -64;
  let sent = 0;
  for (let round = 0; round < 8; round++) {
    for (let room = a.reserveBurst(1, quarter); room !== null; room = a.reserveBurst(1, quarter)) sent++;
    a.commit();
    while (b.receiveBurst() !== null) b.release();
  }
  t.ok(sent >= 8 * 3, `${sent} quarters of the area in 8 rounds`);
});

t.test('a burst with a descriptor that points outside breaks the channel, not the process', async (t) => {
  const { a, b, memory } = channelPair({ queueSize: 16, dataBytes: 4096 });
  const burst = a.reserveBurst(4, 8)!;
  const words = new Int32Array(memory);
  const address = a.outgoing.bytes.byteOffset + burst.offset + burst.stride;
  const at = words.indexOf(address);
  t.ok(at > 0);
  words[at] = 4;
  a.commit();
  t.throws(() => b.receiveBurst(), { code: 'ERR_IVSHMEM_QUEUE_BROKEN' });
  t.equal(b.end, 'broken');
  t.equal(b.receiveBurst(), null);
});

t.test('pieces of bursts never overlap, whatever is placed and freed', async (t) => {
  const random = new Random(77);
  for (const [bytes, pieces] of [
    [4096, 16],
    [1024, 16],
    [65536, 64],
  ] as const) {
    const ring = new DataRing(bytes, pieces);
    const owner = new Int32Array(bytes / 64).fill(-1);
    const live: { lines: number[]; end: number }[] = [];
    const take = (offset: number, length: number, end: number, id: number): void => {
      const lines: number[] = [];
      for (let line = offset / 64; line * 64 < offset + Math.max(length, 1); line++) {
        if (owner[line] !== -1) t.fail(`line ${line} belongs to ${owner[line]}`);
        owner[line] = id;
        lines.push(line);
      }
      live.push({ lines, end });
    };
    for (let step = 0; step < 20_000; step++) {
      if (random.below(5) < 3) {
        const length = random.below(4) === 0 ? random.below(bytes / 2) : random.below(200);
        const count = ring.placeBurst(length, 1 + random.below(20));
        const stride = ring.strideOf(length);
        t.ok(ring.burstOffset + count * stride <= bytes, { diagnostic: false });
        for (let i = 0; i < count; i++) {
          take(ring.burstOffset + i * stride, length, ring.burstOffset + (i + 1) * stride, step);
        }
      } else if (live.length > 0) {
        for (let n = 1 + random.below(live.length); n > 0; n--) {
          const { lines, end } = live.shift()!;
          for (const line of lines) owner[line] = -1;
          ring.free(end);
        }
      }
    }
    t.pass(`${bytes} bytes, ${pieces} pieces`);
  }
});
