import t from 'tap';
import { type DataArea, Message, Reservation } from '../../src/channel/message.ts';

function area(): DataArea {
  const memory = new ArrayBuffer(4096);
  new Uint8Array(memory).forEach((_, i, bytes) => {
    bytes[i] = i & 0xff;
  });
  return { bytes: new Uint8Array(memory, 1024, 1024), words: new Int32Array(memory, 1024, 256) };
}

for (const kind of ['reservation', 'message'] as const) {
  t.test(`a ${kind} makes its view on demand and keeps it while it fits`, async (t) => {
    const data = area();
    const lent = kind === 'reservation' ? new Reservation(data) : new Message(data);
    const point = (offset: number, length: number): void => {
      if (lent instanceof Message) lent.point(offset, length);
      else Object.assign(lent, { offset, length });
    };
    point(64, 10);
    const first = lent.bytes;
    t.equal(first.byteOffset, 1024 + 64);
    t.equal(first.length, 10);
    t.ok(lent.bytes === first);
    point(128, 10);
    t.equal(lent.bytes.byteOffset, 1024 + 128, 'another place');
    point(128, 11);
    t.equal(lent.bytes.length, 11, 'another length');
    point(0, 0);
    t.equal(lent.bytes.length, 0);
    point(128, 11);
    t.equal(lent.bytes.length, 11);
  });
}

t.test('a message of several segments forgets them when it is used again', async (t) => {
  const data = area();
  const message = new Message(data);
  message.pointAll([data.bytes.subarray(0, 2), data.bytes.subarray(10, 12)]);
  t.equal(message.offset, 0);
  t.same([...message.bytes], [0, 1, 10, 11]);
  message.point(4, 2);
  t.same([...message.bytes], [4, 5]);
  t.same(
    message.segments.map((segment) => [...segment]),
    [[4, 5]],
  );
});

t.test('copy is private; bytes are the shared memory itself', async (t) => {
  const data = area();
  const message = new Message(data);
  message.point(0, 2);
  const copy = message.copy();
  const live = message.bytes;
  data.bytes[0] = 99;
  t.same([...copy], [0, 1]);
  t.same([...live], [99, 1]);
});
