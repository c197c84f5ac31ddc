import t from 'tap';
import { pattern } from '../support/channel-pair.ts';
import { messagePair } from '../support/message-pair.ts';

function joined(size: number, dataBytes = 4096, maxMessageBytes = 1 << 20) {
  const pair = messagePair(size, dataBytes, maxMessageBytes);
  const { sender } = pair;
  const send = (...bytes: number[]): void => {
    if (!sender.copyIn(Uint8Array.from(bytes))) throw new Error('full');
    sender.publish();
  };
  const part = (bytes: Uint8Array, more: number): void => {
    const room = sender.reservePart(bytes.length, more);
    if (room === null) throw new Error('full');
    room.bytes.set(bytes);
    sender.publish();
  };
  return { ...pair, send, part };
}

t.test('releases out of order go back in order', async (t) => {
  const { sender, receiver, send } = joined(8);
  for (let i = 0; i < 3; i++) send(i);
  const messages = [receiver.receive()!, receiver.receive()!, receiver.receive()!];
  t.equal(receiver.lent, 3);
  receiver.release(messages[2]!);
  receiver.release(messages[1]!);
  receiver.flush();
  t.equal(receiver.lent, 3, 'the oldest is still lent');
  t.equal(sender.reserve(0) !== null && sender.outstanding, 4);
  t.same([...messages[0]!.bytes], [0]);
  receiver.release(messages[0]!);
  t.equal(receiver.lent, 0);
  receiver.flush();
  sender.startWaiting();
  t.equal(sender.outstanding, 1, 'all three at once');
});

t.test('flush: at a quarter of the descriptors', async (t) => {
  const { sender, receiver, send } = joined(16, 65536);
  for (let i = 1; i <= 4; i++) {
    send(i);
    receiver.release(receiver.receive()!);
    sender.stopWaiting();
    sender.hasRoom(1);
    t.equal(receiver.lent, 0);
    const before = sender.outstanding;
    sender.startWaiting();
    sender.stopWaiting();
    t.equal(sender.outstanding, i < 4 ? before : 0, `after ${i}`);
  }
});

t.test('flush: at a quarter of the bytes', async (t) => {
  const { sender, receiver } = joined(64, 4096);
  const returned = (): boolean => {
    const is = sender.startWaiting();
    sender.stopWaiting();
    return is;
  };
  for (const length of [500, 500, 24]) {
    sender.copyIn(new Uint8Array(length));
    sender.publish();
    t.notOk(returned());
    receiver.release(receiver.receive()!);
  }
  t.ok(returned(), '1024 of 4096 bytes were held');
});

t.test('flush: after 64 polls that found nothing', async (t) => {
  const { sender, receiver, send } = joined(16);
  send(1);
  receiver.release(receiver.receive()!);
  for (let i = 0; i < 63; i++) t.equal(receiver.receive(), null);
  t.notOk(sender.startWaiting());
  sender.stopWaiting();
  t.equal(receiver.receive(), null);
  t.ok(sender.startWaiting());
});

t.test('flush: at once for a sender that waits', async (t) => {
  const { sender, receiver, rings, send } = joined(16);
  send(1);
  const message = receiver.receive()!;
  t.notOk(sender.startWaiting());
  receiver.release(message);
  t.equal(rings.used, 1);
  t.ok(sender.startWaiting());
});

t.test('notifications: asked for and declined by the receiver, stored only on a change', async (t) => {
  const { queue, receiver, rings, send } = joined(16);
  send(1);
  t.equal(rings.available, 1, 'zeroed memory asks');
  receiver.disableNotifications();
  send(2);
  t.equal(rings.available, 1);
  const eventAt = queue.place.deviceEvent / 4;
  queue.words[eventAt] = 0; // not by us: shows whether a second call stores
  receiver.disableNotifications();
  t.equal(queue.words[eventAt], 0);
  t.ok(receiver.enableNotifications(), 'messages are there');
  receiver.receive();
  receiver.receive();
  t.notOk(receiver.enableNotifications());
  send(3);
  t.equal(rings.available, 2);
});

t.test('parts are joined, in one receive for each part', async (t) => {
  const { receiver, part, send, sender } = joined(8, 4096);
  const whole = pattern(10_000, 4);
  let message = null;
  let calls = 0;
  for (let at = 0; at < whole.length; at += 1000) {
    part(whole.subarray(at, at + 1000), at + 1000 < whole.length ? 1 : 0);
    message = receiver.receive();
    calls++;
    receiver.flush();
    if (calls < 10) t.equal(message, null);
  }
  t.equal(message!.length, 10_000);
  t.equal(message!.offset, -1, 'private memory');
  t.notOk(message!.lent, 'nothing to give back');
  t.equal(Buffer.compare(message!.bytes, whole), 0);
  t.equal(message!.segments.length, 1);
  t.equal(Buffer.compare(message!.copy(), whole), 0);
  receiver.release(message!);
  send(9);
  t.same([...receiver.receive()!.bytes], [9], 'and the next message is a whole one');
  receiver.release();
  receiver.flush();
  sender.startWaiting();
  t.equal(sender.outstanding, 0);
});

t.test('a part that is itself wrapped, and empty parts, are joined too', async (t) => {
  const { queue, receiver } = joined(8, 4096);
  const at = queue.dataStart;
  new Uint8Array(queue.memory, at, 8).set([1, 2, 3, 4, 5, 6, 7, 8]);
  queue.driver.add(
    [
      { addr: at, len: 2 },
      { addr: at + 4, len: 3 },
    ],
    1,
  );
  queue.driver.add([{ addr: at, len: 0 }], 1);
  queue.driver.add([{ addr: at + 7, len: 1 }], 0);
  queue.driver.publish();
  t.equal(receiver.receive(), null);
  t.equal(receiver.receive(), null);
  t.same([...receiver.receive()!.bytes], [1, 2, 5, 6, 7, 8]);
});

t.test('maxMessageBytes bounds what parts may add up to', async (t) => {
  const { receiver, part } = joined(8, 4096, 100);
  part(new Uint8Array(60), 1);
  t.equal(receiver.receive(), null);
  part(new Uint8Array(40), 1);
  t.equal(receiver.receive(), null, '100 is allowed');
  part(new Uint8Array(1), 0);
  t.throws(() => receiver.receive(), { code: 'ERR_IVSHMEM_MESSAGE_TOO_LARGE', message: /100/ });
});

t.test('many tiny parts cost about what their bytes cost', async (t) => {
  const { receiver, part } = joined(8, 4096, 1 << 20);
  const PARTS = 100_000;
  const before = process.memoryUsage();
  for (let i = 0; i < PARTS; i++) {
    part(Uint8Array.of(i & 0xff), 1);
    receiver.receive();
  }
  const after = process.memoryUsage();
  const held = after.arrayBuffers - before.arrayBuffers;
  t.ok(held < 4 * PARTS, `${held} bytes for ${PARTS} parts of one byte`);
  part(new Uint8Array(0), 0);
  const message = receiver.receive()!;
  t.equal(message.length, PARTS);
  t.ok(message.bytes.every((byte, i) => byte === (i & 0xff)));
});

t.test('device-writable elements are no message', async (t) => {
  for (const segments of [1, 2]) {
    const { queue, receiver } = joined(8);
    queue.driver.add(
      Array.from({ length: segments }, (_, i) => ({
        addr: queue.dataStart,
        len: 1,
        writable: i === segments - 1,
      })),
    );
    queue.driver.publish();
    t.throws(() => receiver.receive(), { code: 'ERR_IVSHMEM_QUEUE_BROKEN', message: /writable/ });
  }
});

t.test('a message by an indirect table and one in more segments than a sender of ours makes', async (t) => {
  const { queue, receiver } = joined(8);
  const at = queue.dataStart;
  new Uint8Array(queue.memory, at + 512, 4).set([1, 2, 3, 4]);
  queue.words.set([at + 512, 0, 2, 0, at + 515, 0, 1, 0], at / 4);
  queue.driver.addIndirect(at, 2);
  queue.driver.addIndirect(at, 1);
  queue.driver.publish();
  t.same([...receiver.receive()!.bytes], [1, 2, 4]);
  t.same([...receiver.receive()!.bytes], [1, 2]);
});

t.test('a broken ring is reported by every call', async (t) => {
  const { queue, receiver } = joined(8);
  queue.driver.addReadable(0, 1, 0);
  queue.driver.publish();
  t.throws(() => receiver.receive(), { code: 'ERR_IVSHMEM_QUEUE_BROKEN' });
  t.notOk(receiver.hasMessage());
  t.throws(() => receiver.receive(), { code: 'ERR_IVSHMEM_QUEUE_BROKEN' });
});

t.test('elements that overlap do not make a message of more than its sender has', async (t) => {
  const whole = { addr: 0, len: 4096 };
  for (const how of ['chain', 'table'] as const) {
    const { queue, receiver } = joined(8, 4096);
    const elements = Array.from({ length: 8 }, () => ({ ...whole, addr: queue.dataStart }));
    if (how === 'chain') queue.driver.add(elements);
    else {
      const table = new Int32Array(queue.memory, queue.dataStart, 8 * 4);
      for (const [n, { addr, len }] of elements.entries()) table.set([addr, 0, len, 0], n * 4);
      queue.driver.addIndirect(queue.dataStart, 8);
    }
    queue.driver.publish();
    t.throws(() => receiver.receive(), { code: 'ERR_IVSHMEM_QUEUE_BROKEN', message: /data area/ }, how);
  }
  const { queue, receiver } = joined(8, 4096);
  queue.driver.add([
    { addr: queue.dataStart + 2048, len: 2048 },
    { addr: queue.dataStart, len: 2048 },
  ]);
  queue.driver.publish();
  t.equal(receiver.receive()!.bytes.length, 4096, 'all of the area, in two halves, is one');
});
