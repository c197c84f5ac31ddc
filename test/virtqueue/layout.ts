import t from 'tap';
import * as layout from '../../src/virtqueue/layout.ts';
import { descriptorBytes, queuePair } from '../support/queue.ts';

t.test('§2.8.1, §2.8.3, §2.8.6, §2.8.7: the flag bits', async (t) => {
  t.equal(layout.VIRTQ_DESC_F_NEXT, 1);
  t.equal(layout.VIRTQ_DESC_F_WRITE, 2);
  t.equal(layout.VIRTQ_DESC_F_INDIRECT, 4);
  t.equal(layout.VIRTQ_DESC_F_AVAIL, 0x80);
  t.equal(layout.VIRTQ_DESC_F_USED, 0x8000);
});

t.test('§2.8.10: the event flags, §2.8.10.1: the sizes', async (t) => {
  t.same(
    [layout.RING_EVENT_FLAGS_ENABLE, layout.RING_EVENT_FLAGS_DISABLE, layout.RING_EVENT_FLAGS_DESC],
    [0, 1, 2],
  );
  t.equal(layout.DESCRIPTOR_BYTES, 16);
  t.equal(layout.EVENT_BYTES, 4);
  t.equal(layout.MAX_QUEUE_SIZE, 2 ** 15);
});

t.test(
  '§2.8.1: available differs in AVAIL and USED, used has them alike, both follow the wrap counter',
  async (t) => {
    const upper = (flags: number): number => (flags << 16) | 0;
    t.same(
      [4, 0].map((position) => layout.availableBits(position, 4) | 0),
      [upper(0x8000), upper(0x0080)],
    );
    t.same(
      [4, 0].map((position) => layout.usedBits(position, 4) | 0),
      [0, upper(0x8080)],
    );
    t.equal(layout.AVAIL_USED_MASK | 0, upper(0x8080));
  },
);

t.test('§2.8.13: a descriptor in memory is le64 addr, le32 len, le16 id, le16 flags', async (t) => {
  const queue = queuePair(4, { inOrder: false });
  queue.driver.add([{ addr: 0x0123_4567_89ab, len: 0x8765_4321, writable: true }], 1);
  queue.driver.publish();
  // addr ab 89 67 45 23 01 00 00; len 21 43 65 87; id 0 with the tag in bit 15; flags AVAIL | WRITE.
  t.equal(descriptorBytes(queue, 0), 'ab89674523010000 21436587 0080 8200');
});

t.test('§2.8.14: an event suppression structure in memory is le16 offset and wrap, le16 flags', async (t) => {
  const queue = queuePair(8);
  const driverEvent = () => Buffer.from(queue.memory, queue.place.driverEvent, 4).toString('hex');
  const deviceEvent = () => Buffer.from(queue.memory, queue.place.deviceEvent, 4).toString('hex');
  queue.driver.disableNotifications();
  t.equal(driverEvent(), '00000100');
  queue.driver.enableNotifications();
  t.equal(driverEvent(), '00000000');
  queue.device.enableNotifications(3);
  t.equal(deviceEvent(), '02800200', 'descriptor 2, wrap counter 1, DESC');
  queue.device.disableNotifications();
  t.equal(deviceEvent(), '00000100');
});
