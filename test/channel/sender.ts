import t from 'tap';
import { pattern } from '../support/channel-pair.ts';
import { messagePair } from '../support/message-pair.ts';
import { Random, testSeed } from '../support/random.ts';

t.test('a reservation lends room in place, and the message arrives in place', async (t) => {
  const { sender, receiver, rings, area } = messagePair(8, 4096);
  const room = sender.reserve(10)!;
  t.equal(room.length, 10);
  t.equal(room.bytes.byteOffset, area.bytes.byteOffset + room.offset);
  room.bytes.set(pattern(10, 1));
  t.equal(receiver.receive(), null, 'not before publish');
  sender.publish();
  t.equal(rings.available, 1);
  const message = receiver.receive()!;
  t.equal(message.length, 10);
  t.equal(message.offset, room.offset);
  t.same([...message.bytes], [...pattern(10, 1)]);
  t.equal(message.bytes.buffer, area.bytes.buffer);
  t.equal(sender.outstanding, 1);
});

t.test('shorten gives back room of the last reservation only', async (t) => {
  const { sender, receiver } = messagePair(8, 4096);
  t.throws(() => sender.shorten(0), { code: 'ERR_IVSHMEM_MESSAGE_SIZE' }, 'nothing reserved');
  const room = sender.reserve(4096)!;
  for (const wrong of [4097, -1, 1.5, Number.NaN])
    t.throws(() => sender.shorten(wrong), { code: 'ERR_IVSHMEM_MESSAGE_SIZE' });
  sender.shorten(0);
  t.equal(room.length, 0);
  t.equal(sender.reserve(4096 - 64)!.offset, 64, 'an empty message keeps one line');
  sender.publish();
  t.throws(() => sender.shorten(1), { code: 'ERR_IVSHMEM_MESSAGE_SIZE' }, 'the peer may have it already');
  t.equal(receiver.receive()!.length, 0);
  t.equal(receiver.receive()!.length, 4032);
});

t.test('impossible lengths are refused before anything is touched', async (t) => {
  const { sender, queue } = messagePair(8, 4096);
  const before = queue.words.slice();
  for (const length of [4097, 2 ** 31, 2 ** 32, 2 ** 53, -1, 0.5, Number.NaN, Infinity]) {
    t.throws(
      () => sender.reserve(length),
      { code: 'ERR_IVSHMEM_MESSAGE_SIZE', message: /4096/ },
      `${length}`,
    );
  }
  t.throws(() => sender.copyIn(new Uint8Array(4097)), { code: 'ERR_IVSHMEM_MESSAGE_SIZE' });
  t.same(queue.words, before);
  t.equal(sender.outstanding, 0);
  t.equal(sender.reserve(sender.capacity)!.offset, 0);
});

t.test('a full ring is a value: by descriptors, by bytes; room comes back by the receiver', async (t) => {
  for (const [size, dataBytes, length] of [
    [4, 65536, 1],
    [64, 4096, 512],
  ] as const) {
    const { sender, receiver } = messagePair(size, dataBytes);
    let sent = 0;
    while (sender.reserve(length) !== null) sent++;
    t.equal(sent, size === 4 ? 4 : 8);
    t.notOk(sender.hasRoom(length));
    t.notOk(sender.copyIn(new Uint8Array(length)));
    sender.publish();
    t.equal(sender.reserve(length), null);
    receiver.receive();
    receiver.receive();
    receiver.release();
    receiver.flush();
    t.ok(sender.reserve(length), 'room came back');
    sender.reserve(length);
    t.equal(sender.reserve(length), null, 'and is gone again');
  }
});

t.test('hasRoom says what reserve would find', async (t) => {
  const seed = testSeed();
  const random = new Random(seed);
  const { sender, receiver } = messagePair(16, 4096);
  let rooms = 0;
  for (let i = 0; i < 20_000; i++) {
    const length = random.below(1500);
    const had = sender.hasRoom(length);
    const got = sender.reserve(length);
    if (had) rooms++;
    if (had && got === null) return t.fail(`no room for ${length} after all (seed ${seed})`);
    sender.publish();
    while (random.oneIn(2) && receiver.receive() !== null);
    if (random.oneIn(3)) receiver.release();
    if (random.oneIn(3)) receiver.flush();
  }
  t.ok(rooms > 2000, `${rooms} of 20,000 had room`);
  return undefined;
});

t.test('a copied message that fits only around the end of the area is a chain of two (§2.8.6)', async (t) => {
  const { sender, receiver } = messagePair(8, 4096);
  t.ok(sender.copyIn(pattern(1024, 1)));
  t.ok(sender.copyIn(pattern(2048, 2)));
  sender.publish();
  receiver.release(receiver.receive()!);
  receiver.flush();
  // 1024 bytes are free at the end and 1024 at the start.
  const wrapped = pattern(1500, 3);
  t.equal(sender.reserve(1500), null, 'not in a row');
  t.ok(sender.copyIn(wrapped));
  sender.publish();
  t.same([...receiver.receive()!.bytes], [...pattern(2048, 2)]);
  const message = receiver.receive()!;
  t.equal(message.length, 1500);
  t.same(
    message.segments.map((segment) => segment.length),
    [1024, 476],
  );
  t.same([...message.copy()], [...wrapped]);
  t.same([...message.bytes], [...wrapped]);
  const joinedBytes = message.bytes;
  t.ok(joinedBytes === message.bytes, 'joined once');
  t.equal(message.segments.length, 1);
  receiver.release();
  receiver.flush();
  t.equal(sender.reserve(4096)?.offset, 0, 'all of it came back');
});

t.test('a wrapped message that does not fit leaves no trace', async (t) => {
  // 8 descriptors make a window of 512 bytes: a small first piece turns back to the start of the area.
  const { sender, receiver } = messagePair(8, 4096);
  for (const length of [512, 2560, 960]) t.ok(sender.copyIn(pattern(length, length)));
  sender.publish();
  receiver.release(receiver.receive()!);
  receiver.flush();
  t.notOk(sender.copyIn(new Uint8Array(600)), '64 at the end and 448 at the start are too little');
  for (let i = 0; i < 2; i++) receiver.receive();
  receiver.release();
  receiver.flush();
  t.equal(sender.reserve(4096)?.offset, 0, 'the whole area is there when everything is back');
});

t.test('waiting: enabled notifications ring for the next flush, disabled ones do not', async (t) => {
  const { sender, receiver, rings } = messagePair(4, 4096);
  while (sender.reserve(1) !== null);
  sender.publish();
  receiver.receive();
  receiver.receive();
  t.notOk(sender.startWaiting(), 'nothing is back');
  receiver.release();
  t.equal(rings.used, 1, 'a waiting driver is not kept waiting for a batch');
  t.ok(sender.startWaiting(), 'now something is');
  sender.stopWaiting();
  receiver.receive();
  receiver.release();
  receiver.flush();
  t.equal(rings.used, 1);
});

t.test('random traffic: messages arrive whole and in order whatever their size', async (t) => {
  const seed = testSeed();
  let arrived = 0;
  for (let run = 0; run < 60; run++) {
    const random = new Random(seed + run);
    const { sender, receiver } = messagePair(random.pick([2, 4, 16, 64]), random.pick([4096, 16384]));
    const expected: Uint8Array[] = [];
    const lent: { message: { readonly bytes: Uint8Array }; bytes: Uint8Array }[] = [];
    const whole = () => lent.every(({ message, bytes }) => Buffer.compare(message.bytes, bytes) === 0);
    for (let step = 0; step < 400; step++) {
      const act = random.below(6);
      if (act < 2) {
        const bytes = pattern(random.below(random.oneIn(5) ? 3000 : 200), step);
        if (sender.copyIn(bytes)) expected.push(bytes);
      } else if (act === 2) {
        const room = sender.reserve(random.below(600));
        if (room !== null) {
          const bytes = pattern(random.below(room.length + 1), step);
          room.bytes.set(bytes);
          sender.shorten(bytes.length);
          expected.push(bytes);
        }
      } else if (act === 3) {
        sender.publish();
      } else if (act === 4) {
        const message = receiver.receive();
        if (message !== null) lent.push({ message, bytes: expected.shift()! });
      } else {
        if (!whole()) return t.fail(`a message changed while it was lent (IVSHMEM_TEST_SEED=${seed + run})`);
        arrived += lent.length;
        lent.length = 0;
        receiver.release();
        if (random.oneIn(2)) receiver.flush();
      }
    }
    sender.publish();
    for (let message = receiver.receive(); message !== null; message = receiver.receive())
      lent.push({ message, bytes: expected.shift()! });
    if (!whole() || expected.length > 0)
      return t.fail(`not what was sent, or ${expected.length} lost (IVSHMEM_TEST_SEED=${seed + run})`);
    arrived += lent.length;
  }
  t.ok(arrived > 1000, `${arrived} messages in 60 runs`);
  return undefined;
});
