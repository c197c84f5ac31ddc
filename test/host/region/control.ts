import t, { type Test } from 'tap';
import { createServer, type IvshmemServer } from '../../../src/host/index.ts';
import {
  CHANNEL_FREE,
  CHANNEL_OPEN,
  CHANNEL_W,
  CLOSED_CONNECTOR,
  CLOSED_DIED,
  CLOSED_LISTENER,
  channelLayout,
  MEMBER_W,
  OP_CLOSE,
  OP_GOODBYE,
  OP_LISTEN,
  OP_UNLISTEN,
  PAGE_BYTES,
  SLOT_ATTACHED,
  SLOT_FREE,
  SLOT_OCCUPIED,
  SLOT_W,
  STATUS_BAD_REQUEST,
  STATUS_NAME_TAKEN,
  STATUS_NO_CHANNEL,
  STATUS_NO_MEMORY,
  STATUS_NO_SERVICE,
  STATUS_NOT_ATTACHED,
  STATUS_OK,
  STATUS_QUOTA,
  STATUS_VERSION,
} from '../../../src/memory/layout.ts';
import { until } from '../../support/protocol/until.ts';
import { RawMember } from '../../support/raw-member.ts';

let scenes = 0;

async function scene(
  t: Test,
  members: number,
  more: object = {},
): Promise<{ server: IvshmemServer; members: RawMember[]; socket: string }> {
  const socket = `@ivshmem-control-${process.pid}-${scenes++}`;
  const region = { name: 'control', socket, size: '1M', slots: 8, channels: 32, ...more };
  const server = await createServer({ regions: [region] });
  t.teardown(() => server.close());
  const joined: RawMember[] = [];
  for (let i = 0; i < members; i++) {
    const member = await RawMember.join(socket);
    t.teardown(() => member.die());
    joined.push(member);
  }
  return { server, members: joined, socket };
}

t.test('HELLO', async (t) => {
  const { members } = await scene(t, 2);
  const [a, b] = members as [RawMember, RawMember];
  t.equal(a.slotEntry()[SLOT_W.state], SLOT_OCCUPIED);
  t.equal((await a.listen('x'))[0], STATUS_NOT_ATTACHED);
  t.equal((await a.hello('a', 1, 2))[0], STATUS_VERSION);
  t.equal((await a.hello('a', 0))[0], STATUS_BAD_REQUEST, 'generation 0');
  t.equal((await a.hello(''))[0], STATUS_BAD_REQUEST, 'no name');
  t.equal((await a.hello('a\u0007'))[0], STATUS_BAD_REQUEST, 'a control character');
  t.same((await a.hello('a', 5)).slice(0, 2), [STATUS_OK, 1]);
  const entry = a.slotEntry();
  t.same(
    [entry[SLOT_W.state], entry[SLOT_W.epoch], entry[SLOT_W.pid], entry[SLOT_W.generation]],
    [SLOT_ATTACHED, 1, process.pid, 5],
  );
  t.equal((await a.hello('a', 5))[0], STATUS_OK, 'the same again');
  t.equal((await a.hello('z', 5))[0], STATUS_BAD_REQUEST, 'the same driver by another name');
  t.equal((await b.hello('a'))[0], STATUS_NAME_TAKEN);
  t.equal((await b.hello('b'))[0], STATUS_OK);
  t.equal((await a.request(OP_GOODBYE))[0], STATUS_OK);
  t.equal(a.slotEntry()[SLOT_W.state], SLOT_OCCUPIED);
  t.equal((await b.hello('a', 2))[0], STATUS_OK, 'the name is free again');
});

t.test('a channel from CONNECT to the last CLOSE', async (t) => {
  const { server, members } = await scene(t, 2);
  const [a, b] = members as [RawMember, RawMember];
  await a.hello('a');
  await b.hello('b');
  const [, listener] = await b.listen('echo');
  t.equal((await a.connect('nobody'))[0], STATUS_NO_SERVICE);
  t.equal((await a.connect('echo', 'nobody'))[0], STATUS_NO_SERVICE);
  t.equal((await b.connect('echo'))[0], STATUS_NO_SERVICE, 'not to oneself');
  const free = server.status().regions[0]!.freeHeapBytes;
  // What an earlier channel left there must not look like descriptors.
  a.words.fill(-1, (a.header.heapPage * PAGE_BYTES) / 4);
  const [status, channel, generation] = (await a.connect('echo', 'b')) as [number, number, number];
  t.equal(status, STATUS_OK);
  const entry = b.channelEntry(channel);
  t.equal(entry[CHANNEL_W.state], CHANNEL_OPEN);
  t.same([entry[CHANNEL_W.generation], entry[CHANNEL_W.listener]], [generation, listener]);
  t.equal(entry[CHANNEL_W.slots], a.slot | (b.slot << 16));
  t.same([entry[CHANNEL_W.connectorEpoch], entry[CHANNEL_W.listenerEpoch]], [1, 1]);
  const layout = channelLayout(8, PAGE_BYTES);
  t.equal(entry[CHANNEL_W.pages], layout.bytes / PAGE_BYTES);
  const start = entry[CHANNEL_W.firstPage]! * PAGE_BYTES;
  for (const { ring, data } of layout.directions) {
    t.ok(a.words.subarray((start + ring) / 4, (start + data) / 4).every((word) => word === 0));
  }
  t.equal(b.eventCount, 1);
  t.equal(b.words[b.block() + MEMBER_W.events], channel);

  t.equal((await b.close(channel, generation + 1))[0], STATUS_NO_CHANNEL);
  t.equal((await b.close(channel + 1, generation))[0], STATUS_NO_CHANNEL);
  t.equal((await a.close(channel, generation))[0], STATUS_OK);
  t.equal(a.closed(channel), CLOSED_CONNECTOR);
  t.equal((await a.close(channel, generation))[0], STATUS_NO_CHANNEL, 'once');
  t.equal(b.eventCount, 2);
  t.not(server.status().regions[0]!.freeHeapBytes, free, 'the other side may still read');
  t.equal((await b.close(channel, generation))[0], STATUS_OK);
  t.equal(b.channelEntry(channel)[CHANNEL_W.state], CHANNEL_FREE);
  t.equal(server.status().regions[0]!.freeHeapBytes, free);
  const again = await a.connect('echo');
  t.same(again.slice(1, 3), [channel, generation + 1], 'the entry is used again, with the next generation');
});

t.test('death closes channels and removes services', async (t) => {
  const { server, members, socket } = await scene(t, 2);
  const [a, b] = members as [RawMember, RawMember];
  await a.hello('a');
  await b.hello('b');
  await b.listen('echo');
  await a.listen('back');
  const [, channel, generation] = (await a.connect('echo')) as [number, number, number];
  b.die();
  await until('a is told', () => a.eventCount === 1);
  t.equal(a.closed(channel), CLOSED_LISTENER | CLOSED_DIED);
  t.equal(a.slotEntry(2)[SLOT_W.state], SLOT_FREE);
  t.equal((await a.connect('echo'))[0], STATUS_NO_SERVICE);
  t.equal((await a.close(channel, generation))[0], STATUS_OK);
  t.equal(server.status().regions[0]!.channels, 0);
  const heir = await RawMember.join(socket);
  t.teardown(() => heir.die());
  t.equal(heir.slot, 2);
  t.equal(heir.slotEntry()[SLOT_W.epoch], 2);
  t.ok(heir.words.subarray(heir.block(), heir.block() + 1024).every((word) => word === 0));
  t.equal((await heir.hello('b'))[0], STATUS_OK);
  t.equal((await heir.close(channel, generation))[0], STATUS_NO_CHANNEL);
});

t.test('a HELLO with another generation is a reboot', async (t) => {
  const { members } = await scene(t, 2);
  const [a, b] = members as [RawMember, RawMember];
  await a.hello('a');
  await b.hello('b', 1);
  await b.listen('echo');
  const [, channel] = (await a.connect('echo')) as [number, number, number];
  t.same((await b.hello('b', 2)).slice(0, 2), [STATUS_OK, 1]);
  t.equal(b.eventCount, 0, 'events start anew');
  t.equal(a.closed(channel), CLOSED_LISTENER | CLOSED_DIED);
  t.equal((await a.connect('echo'))[0], STATUS_NO_SERVICE);
  t.equal((await b.listen('echo'))[0], STATUS_OK);
});

t.test('GOODBYE is a clean end', async (t) => {
  const { members } = await scene(t, 2);
  const [a, b] = members as [RawMember, RawMember];
  await a.hello('a');
  await b.hello('b');
  const [, listener] = (await b.listen('echo')) as [number, number];
  const [, channel] = (await a.connect('echo')) as [number, number, number];
  t.equal((await b.listen('echo'))[0], STATUS_NAME_TAKEN);
  t.equal((await a.request(OP_UNLISTEN, listener))[0], STATUS_NO_SERVICE, "another member's listener");
  t.equal((await b.request(OP_GOODBYE))[0], STATUS_OK);
  t.equal(a.closed(channel), CLOSED_LISTENER);
  t.equal((await b.request(OP_CLOSE, channel, 1))[0], STATUS_NOT_ATTACHED);
});

t.test('quota and exhaustion', async (t) => {
  const quota = { channels: 4, listeners: 2, heap: 0.5 };
  const { server, members } = await scene(t, 3, { quota });
  const [a, b, c] = members as [RawMember, RawMember, RawMember];
  for (const [i, member] of members.entries()) await member.hello(`m${i}`);
  await b.listen('one');
  await b.listen('two');
  t.equal((await b.listen('three'))[0], STATUS_QUOTA);
  const made: number[][] = [];
  for (let i = 0; i < 4; i++) made.push(await a.connect('one'));
  t.same(
    made.map(([status]) => status),
    [0, 0, 0, 0],
  );
  t.equal((await a.connect('one'))[0], STATUS_QUOTA);
  t.equal((await c.connect('one'))[0], STATUS_OK, "one member's quota is not another's");
  await a.close(made[0]![1]!, made[0]![2]!);
  t.equal((await a.connect('one'))[0], STATUS_OK, 'who keeps the rest of a closed channel pays for it');

  const heap = server.status().regions[0]!.freeHeapBytes;
  const third = Math.floor(heap / 3 / PAGE_BYTES) * PAGE_BYTES;
  t.equal(
    (await c.connect('one', '', 8, third))[0],
    STATUS_QUOTA,
    'two thirds of the heap are over its share',
  );
});

t.test('no memory, no channel numbers', async (t) => {
  const quota = { channels: 1000, listeners: 10, heap: 1 };
  const { members } = await scene(t, 2, { quota, channels: 16 });
  const [a, b] = members as [RawMember, RawMember];
  await a.hello('a');
  await b.hello('b');
  await b.listen('x');
  t.equal((await a.connect('x', '', 8, 1 << 18))[0], STATUS_OK);
  t.equal((await a.connect('x', '', 8, 1 << 18))[0], STATUS_QUOTA, 'more than the whole heap');
  t.equal((await b.connect('x', 'a'))[0], STATUS_NO_SERVICE);
  await a.listen('y');
  t.equal((await b.connect('y', '', 8, 1 << 18))[0], STATUS_NO_MEMORY, 'within quota, but not there');
  let open = 1;
  while ((await a.connect('x'))[0] === STATUS_OK) open++;
  t.equal(open, 15, 'every number but 0');
  t.equal((await a.connect('x'))[0], STATUS_NO_MEMORY);
});

t.test('requests that make no sense', async (t) => {
  const { members } = await scene(t, 1);
  const a = members[0]!;
  await a.hello('a');
  await a.listen('x');
  for (const [queueSize, dataBytes] of [
    [0, PAGE_BYTES],
    [1, PAGE_BYTES],
    [3, PAGE_BYTES],
    [65536, PAGE_BYTES],
    [-2147483648, PAGE_BYTES],
    [8, 0],
    [8, 4095],
    [8, -4096],
    [8, 1 << 30],
  ] as const) {
    t.equal((await a.connect('x', '', queueSize, dataBytes))[0], STATUS_BAD_REQUEST);
  }
  t.equal((await a.connect(''))[0], STATUS_BAD_REQUEST);
  t.equal((await a.request(0))[0], STATUS_BAD_REQUEST);
  t.equal((await a.request(11))[0], STATUS_BAD_REQUEST);
  t.equal((await a.request(-1))[0], STATUS_BAD_REQUEST);
  t.equal(
    (await a.request(OP_LISTEN, ...new Array<number>(16).fill(-1)))[0],
    STATUS_BAD_REQUEST,
    'not UTF-8',
  );
  t.equal((await a.request(OP_UNLISTEN, 12345))[0], STATUS_NO_SERVICE);
  t.equal((await a.close(-1, -1))[0], STATUS_NO_CHANNEL);
});
