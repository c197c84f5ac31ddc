import t from 'tap';
import { DescriptorChain, TAKEN, TAKEN_NONE, TAKEN_OTHER } from '../../src/virtqueue/index.ts';
import { descriptorBytes, pokeDescriptor, type QueuePair, queuePair, takeHot } from '../support/queue.ts';

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const AVAIL = 0x80;
const USED = 0x8000;

function pokeTable(
  queue: QueuePair,
  at: number,
  elements: readonly { addr: number; len: number; flags: number }[],
) {
  const view = new DataView(queue.memory, at);
  elements.forEach(({ addr, len, flags }, i) => {
    view.setBigUint64(i * 16, BigInt(addr), true);
    view.setUint32(i * 16 + 8, len, true);
    view.setUint16(i * 16 + 12, 0x5555, true);
    view.setUint16(i * 16 + 14, flags, true);
  });
}

function elements(chain: DescriptorChain): (readonly [addr: number, len: number, writable: number])[] {
  return Array.from({ length: chain.count }, (_, i) => [chain.addrs[i]!, chain.lens[i]!, chain.writable[i]!]);
}

t.test('§2.8.2: a buffer is taken once, with private copies of address, length, ID and tag', async (t) => {
  const queue = queuePair(4);
  t.notOk(queue.device.take(queue.chain), 'zeroed memory is an empty ring');
  t.notOk(queue.device.hasAvailable());
  pokeDescriptor(queue, 0, { addr: queue.dataStart + 64, len: 100, id: 0x8123, flags: AVAIL });
  t.ok(queue.device.hasAvailable());
  t.ok(queue.device.take(queue.chain));
  const { id, tag, addr, len, count, descriptors } = queue.chain;
  t.same(
    { id, tag, addr, len, count, descriptors },
    {
      id: 0x123,
      tag: 1,
      addr: queue.dataStart + 64,
      len: 100,
      count: 1,
      descriptors: 1,
    },
  );
  t.notOk(queue.device.take(queue.chain));
});

t.test('§2.8.1: over several laps only the right wrap counter is available', async (t) => {
  const queue = queuePair(2);
  for (let position = 0; position < 10; position++) {
    const wrap = (position >> 1) % 2 === 0;
    const index = position & 1;
    const before = descriptorBytes(queue, index);
    t.notOk(queue.device.take(queue.chain), `nothing at ${position}: ${before}`);
    pokeDescriptor(queue, index, {
      addr: queue.dataStart,
      len: position,
      id: index,
      flags: wrap ? AVAIL : USED,
    });
    t.ok(queue.device.take(queue.chain));
    t.equal(queue.chain.len, position);
    queue.device.addUsed(index, 0, 1, 0);
    queue.device.flushUsed();
    t.equal(descriptorBytes(queue, index).slice(-9), wrap ? `0${index}00 8080` : `0${index}00 0000`);
  }
});

t.test(
  '§2.8.6: a chain across the end of the ring is one buffer, its ID in the last descriptor',
  async (t) => {
    const queue = queuePair(4);
    const at = queue.dataStart;
    for (let i = 0; i < 3; i++) {
      queue.driver.addReadable(at, 1, 0);
      queue.driver.publish();
      queue.device.take(queue.chain);
      queue.device.addUsed(queue.chain.id, 0, 1, 0);
    }
    queue.device.flushUsed();
    pokeDescriptor(queue, 0, { addr: at + 16, len: 2, id: 9, flags: USED | NEXT });
    pokeDescriptor(queue, 1, { addr: at + 32, len: 3, id: 0x8002, flags: USED | WRITE });
    pokeDescriptor(queue, 3, { addr: at, len: 1, id: 7, flags: AVAIL | NEXT });
    t.ok(queue.device.take(queue.chain));
    t.equal(queue.chain.id, 2);
    t.equal(queue.chain.tag, 1);
    t.equal(queue.chain.descriptors, 3);
    t.same(elements(queue.chain), [
      [at, 1, 0],
      [at + 16, 2, 0],
      [at + 32, 3, 1],
    ]);
    queue.device.addUsed(2, 1, 3, 3);
    queue.device.flushUsed();
    t.equal(
      descriptorBytes(queue, 3).slice(-18),
      '03000000 0280 8280',
      'one used descriptor, WRITE for its length',
    );
    t.notOk(queue.device.take(queue.chain));
  },
);

t.test(
  '§2.8.7: an indirect table; of its flags only WRITE counts, and WRITE on the descriptor itself is ignored',
  async (t) => {
    const queue = queuePair(4);
    const table = queue.dataStart;
    const at = queue.dataStart + 256;
    pokeTable(queue, table, [
      { addr: at, len: 10, flags: NEXT | INDIRECT | AVAIL },
      { addr: at + 10, len: 20, flags: WRITE },
    ]);
    for (const [index, flags] of [AVAIL | INDIRECT, AVAIL | INDIRECT | WRITE].entries()) {
      pokeDescriptor(queue, index, { addr: table, len: 32, id: 3, flags });
      t.ok(queue.device.take(queue.chain));
      t.equal(queue.chain.descriptors, 1);
      t.equal(queue.chain.id, 3);
      t.same(elements(queue.chain), [
        [at, 10, 0],
        [at + 10, 20, 1],
      ]);
    }
  },
);

t.test('§2.8.8: in order, buffers given back appear by one used descriptor at the flush', async (t) => {
  const queue = queuePair(8);
  for (let i = 0; i < 5; i++) queue.driver.addReadable(queue.dataStart, 8, i & 1);
  queue.driver.publish();
  while (queue.device.take(queue.chain)) queue.device.addUsed(queue.chain.id, queue.chain.tag, 1, 0);
  t.equal(queue.device.unflushed, 5);
  t.equal(queue.driver.reclaim(), 0);
  queue.device.flushUsed();
  t.equal(queue.device.unflushed, 0);
  t.equal(descriptorBytes(queue, 0).slice(-9), '0400 8080', 'ID of the last');
  t.equal(descriptorBytes(queue, 1).slice(-4), '8000', 'the others are left as they were');
  t.equal(queue.driver.reclaim(), 5);
  queue.device.flushUsed();
  t.equal(queue.driver.reclaim(), 0, 'a flush of nothing writes nothing');
});

t.test('§2.8.2: without IN_ORDER each buffer has its own used descriptor, at once', async (t) => {
  const queue = queuePair(8, { inOrder: false });
  const first = queue.driver.add([
    { addr: queue.dataStart, len: 1 },
    { addr: queue.dataStart, len: 9, writable: true },
  ]);
  const second = queue.driver.addReadable(queue.dataStart, 1, 0);
  queue.driver.publish();
  const taken: [id: number, descriptors: number][] = [];
  while (queue.device.take(queue.chain)) taken.push([queue.chain.id, queue.chain.descriptors]);
  t.same(taken, [
    [first, 2],
    [second, 1],
  ]);
  queue.device.addUsed(second, 0, 1, 0);
  queue.device.addUsed(first, 0, 2, 9);
  const used = { id: -1, len: 0 };
  t.ok(queue.driver.takeUsed(used));
  t.same(used, { id: second, len: 0 });
  t.ok(queue.driver.takeUsed(used));
  t.same(used, { id: first, len: 9 });
  t.notOk(queue.driver.takeUsed(used));
});

t.test(
  '§2.8.10: the driver suppresses used notifications in all three modes, across the end of the ring',
  async (t) => {
    const queue = queuePair(4);
    const round = (count: number): boolean => {
      for (let i = 0; i < count; i++) queue.driver.addReadable(queue.dataStart, 1, 0);
      queue.driver.publish();
      while (queue.device.take(queue.chain)) queue.device.addUsed(queue.chain.id, 0, 1, 0);
      queue.device.flushUsed();
      const notify = queue.device.needsNotification();
      t.equal(queue.driver.reclaim(), count);
      return notify;
    };
    t.ok(queue.device.driverWaits(), 'zeroed memory says ENABLE');
    t.ok(round(3));
    queue.driver.disableNotifications();
    t.notOk(queue.device.driverWaits());
    t.notOk(round(2));
    t.notOk(queue.driver.enableNotifications(4), 'nothing there yet');
    t.ok(queue.device.driverWaits());
    t.notOk(round(3), '1, 2 and 3 of the second lap');
    t.ok(round(1), '0 of the third');
    t.notOk(round(4), 'once');
    queue.driver.enableNotifications();
    t.ok(round(1));
  },
);

t.test('§2.8.22: enabling tells when something is there already', async (t) => {
  const queue = queuePair(4);
  t.notOk(queue.device.enableNotifications());
  queue.driver.addReadable(queue.dataStart, 1, 0);
  queue.driver.publish();
  t.ok(queue.device.enableNotifications());
  t.ok(queue.device.enableNotifications(2), 'also when waiting for more');
  queue.device.take(queue.chain);
  t.notOk(queue.device.enableNotifications());
  t.notOk(queue.driver.enableNotifications());
  queue.device.addUsed(queue.chain.id, 0, 1, 0);
  queue.device.flushUsed();
  t.ok(queue.driver.enableNotifications());
});

interface Violation {
  readonly why: RegExp;
  readonly poke: (queue: QueuePair) => void;
}

const violations: Readonly<Record<string, Violation>> = {
  'a buffer before the bounds': {
    why: /spans/,
    poke: (q) => pokeDescriptor(q, 0, { addr: q.dataStart - 1, len: 1, id: 0, flags: AVAIL }),
  },
  'a buffer that leaves the bounds': {
    why: /spans/,
    poke: (q) => pokeDescriptor(q, 0, { addr: q.dataEnd - 1, len: 2, id: 0, flags: AVAIL }),
  },
  'an address near 2^64': {
    why: /spans/,
    poke: (q) => {
      pokeDescriptor(q, 0, { addr: 0, len: 0xffffffff, id: 0, flags: AVAIL });
      q.words.fill(-1, 0, 2);
    },
  },
  'a chain that loops through the ring (§2.8.17)': {
    why: /longer than the free ring/,
    poke: (q) => {
      for (let i = 0; i < 4; i++)
        pokeDescriptor(q, i, { addr: q.dataStart, len: 1, id: 0, flags: AVAIL | NEXT });
    },
  },
  'a chain past the available descriptors': {
    why: /past the available/,
    poke: (q) => pokeDescriptor(q, 0, { addr: q.dataStart, len: 1, id: 0, flags: AVAIL | NEXT }),
  },
  'a chain with a table in it (§2.8.19)': {
    why: /chained descriptor is indirect/,
    poke: (q) => {
      pokeDescriptor(q, 0, { addr: q.dataStart, len: 1, id: 0, flags: AVAIL | NEXT });
      pokeDescriptor(q, 1, { addr: q.dataStart, len: 16, id: 0, flags: AVAIL | INDIRECT });
    },
  },
  'a table with NEXT (§2.8.19)': {
    why: /NEXT/,
    poke: (q) => pokeDescriptor(q, 0, { addr: q.dataStart, len: 16, id: 0, flags: AVAIL | INDIRECT | NEXT }),
  },
  'an empty table': {
    why: /table of 0 bytes/,
    poke: (q) => pokeDescriptor(q, 0, { addr: q.dataStart, len: 0, id: 0, flags: AVAIL | INDIRECT }),
  },
  'a table that is no whole number of descriptors': {
    why: /table of 24 bytes/,
    poke: (q) => pokeDescriptor(q, 0, { addr: q.dataStart, len: 24, id: 0, flags: AVAIL | INDIRECT }),
  },
  'a table longer than the ring (§2.8.5)': {
    why: /table of 80 bytes/,
    poke: (q) => pokeDescriptor(q, 0, { addr: q.dataStart, len: 80, id: 0, flags: AVAIL | INDIRECT }),
  },
  'a table that is not aligned': {
    why: /table at/,
    poke: (q) => pokeDescriptor(q, 0, { addr: q.dataStart + 8, len: 16, id: 0, flags: AVAIL | INDIRECT }),
  },
  'a table outside the bounds': {
    why: /table at/,
    poke: (q) => pokeDescriptor(q, 0, { addr: 0, len: 16, id: 0, flags: AVAIL | INDIRECT }),
  },
  'a table whose element is outside the bounds': {
    why: /spans/,
    poke: (q) => {
      pokeTable(q, q.dataStart, [{ addr: 0, len: 1, flags: 0 }]);
      pokeDescriptor(q, 0, { addr: q.dataStart, len: 16, id: 0, flags: AVAIL | INDIRECT });
    },
  },
  'a readable element after a writable one (§2.8.17)': {
    why: /readable element follows/,
    poke: (q) => {
      pokeDescriptor(q, 1, { addr: q.dataStart, len: 1, id: 0, flags: AVAIL });
      pokeDescriptor(q, 0, { addr: q.dataStart, len: 1, id: 0, flags: AVAIL | NEXT | WRITE });
    },
  },
};

/** Both ways to take a buffer. */
const ways: Readonly<Record<string, (queue: QueuePair) => boolean>> = {
  take: (queue) => queue.device.take(queue.chain),
  takeReadable: (queue) => takeHot(queue.device, queue.chain),
};

for (const [what, { why, poke }, way, take] of Object.entries(violations).flatMap(([what, violation]) =>
  Object.entries(ways).map(([way, take]) => [what, violation, way, take] as const),
)) {
  t.test(`${what} breaks the queue for good: ${way}`, async (t) => {
    const queue = queuePair(4);
    poke(queue);
    const broken = { code: 'ERR_IVSHMEM_QUEUE_BROKEN', message: /device side/ };
    t.throws(() => take(queue), broken);
    t.match(queue.device.broken, why);
    t.notOk(queue.device.hasAvailable(), 'whoever waits for work is not sent back to it');
    pokeDescriptor(queue, 0, { addr: queue.dataStart, len: 1, id: 0, flags: AVAIL });
    t.throws(() => take(queue), broken, 'mending the memory does not mend the queue');
  });
}

for (const [way, take] of Object.entries(ways)) {
  t.test(`descriptors made available again before they came back break the queue: ${way}`, async (t) => {
    const queue = queuePair(2);
    for (let i = 0; i < 2; i++) {
      pokeDescriptor(queue, i, { addr: queue.dataStart, len: 1, id: i, flags: AVAIL });
      t.ok(take(queue));
    }
    pokeDescriptor(queue, 0, { addr: queue.dataStart, len: 1, id: 0, flags: USED });
    t.throws(() => take(queue), { code: 'ERR_IVSHMEM_QUEUE_BROKEN' });
    t.match(queue.device.broken, /more descriptors/);
  });
}

t.test('takeReadable takes what is one readable descriptor and leaves the rest to take', async (t) => {
  const queue = queuePair(4);
  t.equal(queue.device.takeReadable(), TAKEN_NONE);
  pokeDescriptor(queue, 0, { addr: queue.dataEnd - 5, len: 5, id: 0x8003, flags: AVAIL });
  t.equal(queue.device.takeReadable(), TAKEN);
  const { takenAddr, takenLen, takenId } = queue.device;
  t.same([takenAddr, takenLen, takenId], [queue.dataEnd - 5, 5, 0x8003]);
  for (const flags of [NEXT, WRITE, INDIRECT]) {
    pokeDescriptor(queue, 1, { addr: queue.dataStart, len: 16, id: 0, flags: AVAIL | flags });
    t.equal(queue.device.takeReadable(), TAKEN_OTHER);
    t.equal(queue.device.takeReadable(), TAKEN_OTHER, 'and does not take it');
  }
});

t.test('a chain of more elements than the caller has room for breaks the queue', async (t) => {
  const queue = queuePair(4);
  queue.driver.add(Array.from({ length: 3 }, () => ({ addr: queue.dataStart, len: 1 })));
  queue.driver.publish();
  t.throws(() => queue.device.take(new DescriptorChain(2)), { code: 'ERR_IVSHMEM_QUEUE_BROKEN' });
});

t.test('an empty buffer at the very end of the bounds is inside', async (t) => {
  const queue = queuePair(2);
  pokeDescriptor(queue, 0, { addr: queue.dataEnd, len: 0, id: 0, flags: AVAIL });
  t.ok(queue.device.take(queue.chain));
  t.equal(queue.chain.len, 0);
});
