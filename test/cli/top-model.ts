import t from 'tap';
import { cells, fit, plain, table } from '../../src/cli/table.ts';
import { type Frame, layout, picture, rate, textOf } from '../../src/cli/top/layout.ts';
import { modelOf } from '../../src/cli/top/model.ts';
import { STATISTICS, type StatisticName } from '../../src/memory/layout.ts';
import type { ChannelSample, MemberSample, RegionSample } from '../../src/observe/sample.ts';

function member(slot: number, name: string, counted: Partial<Record<StatisticName, number>> = {}, more = {}) {
  const zero = Object.fromEntries(STATISTICS.map((statistic) => [statistic, 0]));
  return {
    slot,
    epoch: 1,
    name,
    state: 'active',
    backend: 'vfio',
    pid: 1,
    uid: 0,
    gid: 0,
    addresses: [],
    labels: {},
    listeners: [],
    listenersTruncated: false,
    since: '',
    statistics: { ...zero, ...counted },
    answered: true,
    ...more,
  } as MemberSample;
}

function channel(
  number: number,
  messages: number,
  bytes: number,
  more: Partial<ChannelSample> = {},
): ChannelSample {
  return {
    number,
    generation: 1,
    connector: 1,
    listener: 2,
    memoryBytes: 4096,
    ended: false,
    forth: { messages, bytes },
    back: { messages: 0, bytes: 0 },
    ...more,
  };
}

function sample(at: number, members: MemberSample[], channels: ChannelSample[] = []): RegionSample {
  const sizes = { sizeBytes: 1 << 20, heapBytes: 100_000, freeHeapBytes: 60_000 };
  return { region: 'r', at, view: 7, slots: 8, channelEntries: 16, ...sizes, members, channels };
}

t.test('rates are per second of the time between two samples', async (t) => {
  const before = sample(1000, [member(1, 'a', { messagesSent: 10, bytesSent: 100 })], [channel(3, 5, 50)]);
  const now = sample(
    3000,
    [member(1, 'a', { messagesSent: 30, bytesSent: 900, sleeps: 4 })],
    [channel(3, 9, 60)],
  );
  const model = modelOf(now, before, 'slot');
  t.match(model.members[0], { sent: { messages: 10, bytes: 400, sleeps: 2, doorbells: 0 }, channels: 1 });
  t.match(model.channels[0], { connector: 'a', listener: 'slot 2', forth: { messages: 2, bytes: 5 } });
  t.match(model.total, { messages: 10, bytes: 400, doorbells: 0, sleeps: 2 });
  t.equal(model.usedHeapBytes, 40_000);
  t.equal(modelOf({ ...now, freeHeapBytes: null }, before, 'slot').usedHeapBytes, 4096, 'of the channels');
});

t.test('what cannot be compared has no rate', async (t) => {
  const before = sample(
    0,
    [member(1, 'a', { messagesSent: 5 }), member(2, 'b'), member(3, 'c')],
    [channel(1, 5, 5)],
  );
  const now = sample(
    1000,
    [
      member(1, 'a', { messagesSent: 2 }),
      member(2, 'b', { messagesSent: 9 }, { epoch: 2 }),
      member(3, 'c', { messagesSent: 9 }, { answered: false }),
      member(4, 'd', { messagesSent: 9 }),
    ],
    [channel(1, 9, 9, { generation: 2 })],
  );
  const model = modelOf(now, before, 'slot');
  t.strictSame(
    model.members.map(({ sent }) => sent.messages),
    [null, null, null, null],
    'a counter that went back, another life, no answer, a new member',
  );
  t.equal(model.channels[0]!.forth.messages, null);
  t.equal(model.total.messages, null);
  for (const first of [null, now]) t.equal(modelOf(now, first, 'slot').members[0]!.sent.messages, null);
});

t.test('sorting', async (t) => {
  const before = sample(0, [member(1, 'b'), member(2, 'a'), member(3, 'c')]);
  const now = sample(1000, [
    member(1, 'b', { messagesSent: 1, bytesSent: 50 }),
    member(2, 'a', { messagesReceived: 2, bytesReceived: 9 }),
    member(3, 'c'),
  ]);
  const order = (sort: 'slot' | 'name' | 'messages' | 'bytes'): string =>
    modelOf(now, before, sort)
      .members.map((row) => row.member.name)
      .join('');
  t.equal(order('slot'), 'bac');
  t.equal(order('name'), 'abc');
  t.equal(order('messages'), 'abc');
  t.equal(order('bytes'), 'bac');
});

t.test('a frame fills the terminal exactly, whatever its size', async (t) => {
  const members = Array.from({ length: 7 }, (_, n) =>
    member(n + 1, `名前-${n}`, {}, { addresses: ['10.0.0.1'] }),
  );
  const model = modelOf(sample(0, members, [channel(1, 0, 0)]), null, 'slot');
  for (const columns of [1, 20, 79, 80, 132, 300]) {
    for (const rows of [1, 5, 8, 12, 24, 60]) {
      const frame: Frame = { columns, rows, scroll: 3, sort: 'slot', note: 'a note' };
      const { lines } = layout(model, frame);
      t.equal(lines.length, rows, `${columns} x ${rows}`);
      const widths = new Set(lines.map((line) => line.reduce((sum, { text }) => sum + cells(text), 0)));
      t.strictSame([...widths], [columns]);
    }
  }
});

t.test('scrolling stops at the end', async (t) => {
  const members = Array.from({ length: 30 }, (_, n) => member(n + 1, `m${n}`));
  const model = modelOf(sample(0, members), null, 'slot');
  const frame = (scroll: number): string =>
    textOf(layout(model, { columns: 100, rows: 20, scroll, sort: 'slot', note: null }).lines);
  t.match(frame(0), /m0 /);
  t.notMatch(frame(0), /m29 /);
  const { scrollMost } = layout(model, { columns: 100, rows: 20, scroll: 0, sort: 'slot', note: null });
  t.match(frame(scrollMost), /m29 /);
  t.equal(frame(scrollMost), frame(1000));
  t.equal(frame(-5), frame(0));
});

t.test('what members choose to be called cannot draw', async (t) => {
  const model = modelOf(sample(0, [member(1, 'a\u001b[2Jb\u202ec'), member(2, '')]), null, 'slot');
  const { body } = picture(model, 100);
  const text = textOf(body);
  for (const harmful of ['\u001b', '\u202e']) t.notOk(text.includes(harmful));
  t.match(text, /a\ufffd\[2Jb\ufffdc/);
  t.match(text, /2 +1 - /, 'who has no name yet');
});

t.test('text in cells', async (t) => {
  t.equal(cells('abc'), 3);
  t.equal(cells('日本'), 4);
  t.equal(cells('é'), 1);
  t.equal(fit('日本語', 5), '日本…');
  t.equal(fit('日本語', 4), '日… ', 'a wide character that has half the room is left out');
  t.equal(fit('ab', 4, 'right'), '  ab');
  t.equal(fit('abc', 0), '');
  t.equal(plain('a\nb\u0000'), 'a\ufffdb\ufffd');
  t.strictSame(table(['A', 'LONG'], [['xyz', '1']]), ['A    LONG', 'xyz  1']);
});

t.test('numbers are short', async (t) => {
  const shown = [null, 0, 0.04, 3.14, 9.96, 42.4, 999.4, 999.6, 1234, 999_900, 1e7, 5e13].map(rate);
  t.strictSame(shown, [
    '-',
    '0',
    '0.0',
    '3.1',
    '10',
    '42',
    '999',
    '1.00k',
    '1.23k',
    '1.00M',
    '10.0M',
    '50.0T',
  ]);
});

t.test('sockets of a member by path', async (t) => {
  const counts = { socketsOpened: 9, socketsClosed: 2, socketsToSharedMemory: 20, socketsToTcp: 15 };
  const now = sample(1000, [member(1, 'a', counts), member(2, 'b', { socketsToTcp: 1 })]);
  const model = modelOf(now, null, 'slot');
  t.same(
    model.members.map(({ sockets }) => sockets),
    [
      { sharedMemory: 5, tcp: 2 },
      { sharedMemory: 0, tcp: 0 },
    ],
  );
  const { body } = picture(model, 160);
  const [heading, a, b] = textOf(body).split('\n');
  const at = heading!.indexOf('SOCKETS') + 'SOCKETS'.length;
  t.match(a!.slice(0, at), / 5 of 7$/);
  t.match(b!.slice(0, at), / -$/);
});
