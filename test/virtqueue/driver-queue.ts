import t from 'tap';
import { DESCRIPTOR_WORDS, type UsedBuffer } from '../../src/virtqueue/index.ts';
import { descriptorBytes, pokeDescriptor, type QueuePair, queuePair } from '../support/queue.ts';

const AVAIL = 0x80;
const USED = 0x8000;

/** The used descriptor a device writes at ring index `index`, for the wrap counter `wrap` (§2.8.1). */
function pokeUsed(queue: QueuePair, index: number, wrap: 0 | 1, id: number, len = 0): void {
  pokeDescriptor(queue, index, { addr: 0, len, id, flags: wrap === 1 ? AVAIL | USED : 0 });
}

function takeAll(queue: QueuePair): UsedBuffer[] {
  const taken: UsedBuffer[] = [];
  for (const used = { id: 0, len: 0 }; queue.driver.takeUsed(used); ) taken.push({ ...used });
  return taken;
}

t.test('§2.8.21.1: flags of a burst appear with publish, the first descriptor last', async (t) => {
  const queue = queuePair(4);
  queue.driver.addReadable(0x1000, 16, 0);
  queue.driver.addReadable(0x2000, 32, 1);
  t.equal(descriptorBytes(queue, 0), '0010000000000000 10000000 0000 0000', 'withheld');
  queue.driver.publish();
  t.equal(descriptorBytes(queue, 0), '0010000000000000 10000000 0000 8000');
  t.equal(descriptorBytes(queue, 1), '0020000000000000 20000000 0180 8000', 'the tag is bit 15 of the ID');
  t.equal(queue.driver.needsNotification(), true);
});

t.test('§2.8.1: the wrap counter turns at the end of the ring, lap after lap', async (t) => {
  const queue = queuePair(2);
  for (let lap = 0; lap < 5; lap++) {
    for (let index = 0; index < 2; index++) {
      queue.driver.addReadable(0, 1, 0);
      queue.driver.publish();
      const wrap = lap % 2 === 0 ? 1 : 0;
      t.equal(descriptorBytes(queue, index).slice(-4), wrap === 1 ? '8000' : '0080', `lap ${lap}`);
      pokeUsed(queue, index, wrap, index);
      t.equal(queue.driver.reclaim(), 1);
    }
  }
});

t.test(
  '§2.8.6: a chain has NEXT in all descriptors but the last, and needs room for all of it',
  async (t) => {
    const queue = queuePair(4);
    const id = queue.driver.add([
      { addr: 0x10, len: 1 },
      { addr: 0x20, len: 2 },
      { addr: 0x30, len: 3, writable: true },
    ]);
    t.equal(queue.driver.free, 1);
    t.throws(
      () =>
        queue.driver.add([
          { addr: 0, len: 1 },
          { addr: 0, len: 1 },
        ]),
      {
        code: 'ERR_IVSHMEM_QUEUE_FULL',
      },
    );
    t.throws(() => queue.driver.add([]), { code: 'ERR_IVSHMEM_QUEUE_FULL' }, 'a buffer has an element');
    t.equal(queue.driver.free, 1, 'a refusal changes nothing');
    queue.driver.publish();
    t.equal(descriptorBytes(queue, 0).slice(-4), '8100', 'AVAIL | NEXT');
    t.equal(descriptorBytes(queue, 1).slice(-4), '8100');
    t.equal(descriptorBytes(queue, 2).slice(-4), '8200', 'AVAIL | WRITE');
    pokeUsed(queue, 0, 1, id, 3);
    t.same(takeAll(queue), [{ id, len: 3 }], 'one used descriptor for the list');
    t.equal(queue.driver.free, 4);
  },
);

t.test('§2.8.7: an indirect table takes one descriptor', async (t) => {
  const queue = queuePair(2);
  queue.driver.addIndirect(0x400, 3, 1);
  queue.driver.publish();
  t.equal(descriptorBytes(queue, 0), '0004000000000000 30000000 0080 8400', 'AVAIL | INDIRECT, 3 x 16 bytes');
  queue.driver.addIndirect(0x800, 1);
  t.throws(() => queue.driver.addIndirect(0, 1), { code: 'ERR_IVSHMEM_QUEUE_FULL' });
  t.throws(() => queue.driver.addReadable(0, 1, 0), { code: 'ERR_IVSHMEM_QUEUE_FULL' });
});

t.test('§2.8.8: one used descriptor stands for a batch in order', async (t) => {
  const queue = queuePair(8);
  const ids = [1, 2, 1, 3].map((count) =>
    queue.driver.add(Array.from({ length: count }, () => ({ addr: 0, len: 1, writable: true }))),
  );
  t.same(ids, [0, 1, 2, 3]);
  queue.driver.publish();
  pokeUsed(queue, 0, 1, ids[2]!, 77);
  t.same(
    takeAll(queue),
    [
      { id: 0, len: 0 },
      { id: 1, len: 0 },
      { id: 2, len: 77 },
    ],
    'only the last has its length',
  );
  t.equal(queue.driver.free, 5);
  t.equal(queue.driver.outstanding, 1);
  pokeUsed(queue, 4, 1, ids[3]!, 5);
  t.equal(queue.driver.reclaim(), 1, 'the next used descriptor comes after the whole batch');
  t.equal(queue.driver.free, 8);
});

t.test(
  '§2.8.8: buffers of a batch give their room back one by one, so that no ID is out twice',
  async (t) => {
    const queue = queuePair(4);
    for (let i = 0; i < 4; i++) queue.driver.addReadable(0, 1, 0);
    queue.driver.publish();
    pokeUsed(queue, 0, 1, 3);
    const used = { id: -1, len: 0 };
    t.ok(queue.driver.takeUsed(used));
    t.equal(queue.driver.free, 1);
    t.equal(queue.driver.addReadable(0, 1, 0), 0, 'the ID that came back');
    t.equal(queue.driver.free, 0);
    queue.driver.publish();
    t.ok(queue.driver.enableNotifications(), 'the rest of the batch is there');
    t.equal(queue.driver.reclaim(), 3, 'reclaim goes on where takeUsed stopped');
    t.equal(queue.driver.outstanding, 1);
    t.equal(queue.driver.free, 3);
  },
);

t.test('§2.8: without IN_ORDER buffers come back in any order, skipping their own descriptors', async (t) => {
  const queue = queuePair(8, { inOrder: false });
  const chain = (count: number) =>
    queue.driver.add(Array.from({ length: count }, () => ({ addr: 0, len: 1 })));
  const ids = [chain(3), chain(1), chain(2)];
  t.equal(new Set(ids).size, 3);
  queue.driver.publish();
  pokeUsed(queue, 0, 1, ids[2]!, 22); // occupies 2
  pokeUsed(queue, 2, 1, ids[0]!, 33); // occupies 3
  pokeUsed(queue, 5, 1, ids[1]!, 11);
  t.same(takeAll(queue), [
    { id: ids[2]!, len: 22 },
    { id: ids[0]!, len: 33 },
    { id: ids[1]!, len: 11 },
  ]);
  t.equal(queue.driver.free, 8);
});

t.test('shortenLast changes the length before the device can see it', async (t) => {
  const queue = queuePair(2);
  for (let i = 0; i < 3; i++) {
    queue.driver.addReadable(queue.dataStart, 100, 0);
    queue.driver.shortenLast(60 + i);
    queue.driver.publish();
    t.ok(queue.device.take(queue.chain));
    t.equal(queue.chain.len, 60 + i);
    queue.device.addUsed(queue.chain.id, queue.chain.tag, 1, 0);
    queue.device.flushUsed();
    t.equal(queue.driver.reclaim(), 1);
  }
});

t.test('§2.8.10: suppression by the device in all three modes, across the end of the ring', async (t) => {
  const queue = queuePair(4);
  const burst = (count: number): boolean => {
    for (let i = 0; i < count; i++) queue.driver.addReadable(queue.dataStart, 1, 0);
    queue.driver.publish();
    const notify = queue.driver.needsNotification();
    while (queue.device.take(queue.chain)) queue.device.addUsed(queue.chain.id, 0, 1, 0);
    queue.device.flushUsed();
    t.equal(queue.driver.reclaim(), count);
    return notify;
  };
  t.ok(burst(1), 'ENABLE is what zeroed memory says');
  queue.device.disableNotifications();
  t.notOk(burst(2));
  queue.device.enableNotifications(3); // descriptors 3, 0', 1': the third is 1'
  t.notOk(burst(2), '3 and 0 of the next lap');
  t.ok(burst(1), '1 of the next lap');
  t.notOk(burst(4), 'once');
  queue.device.enableNotifications();
  t.ok(burst(4));
  t.notOk(queuePair(4).driver.enableNotifications(), 'nothing outstanding, nothing used');
});

t.test('a publish with nothing added changes nothing', async (t) => {
  const queue = queuePair(2);
  queue.driver.publish();
  t.ok(queue.words.every((word) => word === 0));
});

const violations: Readonly<Record<string, { inOrder: boolean; id: number }>> = {
  'an ID that is not outstanding, in order': { inOrder: true, id: 2 },
  'an ID beyond the ring, in order': { inOrder: true, id: 0x7fff },
  'an added but unpublished ID, in order': { inOrder: true, id: 1 },
  'an ID that is not outstanding': { inOrder: false, id: 3 },
  'an ID beyond the ring': { inOrder: false, id: 0x7fff },
  'an added but unpublished ID': { inOrder: false, id: 1 },
};
for (const [what, { inOrder, id }] of Object.entries(violations)) {
  t.test(`${what} breaks the queue for good`, async (t) => {
    const queue = queuePair(4, { inOrder });
    const used = { id: 0, len: 0 };
    t.equal(queue.driver.addReadable(0, 1, 0), 0);
    queue.driver.publish();
    t.equal(queue.driver.addReadable(0, 1, 0), 1);
    pokeUsed(queue, 0, 1, id);
    const broken = { code: 'ERR_IVSHMEM_QUEUE_BROKEN', message: /driver side/ };
    t.throws(() => queue.driver.takeUsed(used), broken);
    t.match(queue.driver.broken, /not outstanding/);
    pokeUsed(queue, 0, 1, 0);
    t.throws(() => queue.driver.takeUsed(used), broken, 'mending the memory does not mend the queue');
    t.throws(() => queue.driver.enableNotifications(), broken);
    if (inOrder) t.throws(() => queue.driver.reclaim(), broken);
  });
}

t.test('§2.8: an ID used twice breaks the queue', async (t) => {
  const queue = queuePair(4, { inOrder: false });
  queue.driver.addReadable(0, 1, 0);
  queue.driver.addReadable(0, 1, 0);
  queue.driver.publish();
  pokeUsed(queue, 0, 1, 0);
  pokeUsed(queue, 1, 1, 0);
  const used = { id: 0, len: 0 };
  t.ok(queue.driver.takeUsed(used));
  t.throws(() => queue.driver.takeUsed(used), { code: 'ERR_IVSHMEM_QUEUE_BROKEN' });
});

t.test('used marks where nothing is outstanding are not looked at', async (t) => {
  const queue = queuePair(4);
  pokeUsed(queue, 0, 1, 0);
  t.equal(queue.driver.reclaim(), 0);
  t.notOk(queue.driver.takeUsed({ id: 0, len: 0 }));
  queue.driver.addReadable(0, 1, 0);
  t.equal(queue.driver.reclaim(), 0, 'added, not published: the ring still holds what was there');
  queue.driver.publish();
  t.equal(queue.driver.reclaim(), 0, 'publishing wrote over it');
  t.equal(queue.words[3]! >>> 16, AVAIL);
  t.equal(DESCRIPTOR_WORDS, 4);
});
