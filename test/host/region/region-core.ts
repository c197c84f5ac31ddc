import t from 'tap';

import {
  CHANNEL_BYTES,
  LAYOUT_MINOR,
  MEMBER_W,
  OP_DRAIN,
  OP_GOODBYE,
  OP_REFRESH,
  OP_UNLISTEN,
  PAGE_BYTES,
  SLOT_ATTACHED,
  SLOT_BYTES,
  SLOT_OCCUPIED,
  SLOT_W,
  STATUS_BAD_REQUEST,
  STATUS_EVICTED,
  STATUS_NO_SERVICE,
  STATUS_NOT_ATTACHED,
  STATUS_OK,
} from '../../../src/memory/layout.ts';
import type { Item } from '../../../src/memory/member-record.ts';
import {
  KIND_CONNECT,
  KIND_DISCONNECT,
  KIND_JOIN,
  KIND_LEAVE,
  KIND_UPDATE,
  MEMBERSHIP_W,
  REASON_CLOSED,
  REASON_CRASHED,
  REASON_EVICTED,
  REASON_MIGRATED,
  REASON_NONE,
  REASON_REBOOTED,
  REASON_UNPLUGGED,
  STATE_ACTIVE,
  STATE_FREE,
  STATE_JOINING,
  STATE_LEAVING,
} from '../../../src/memory/membership.ts';
import { readLog } from '../../../src/memory/view-log.ts';
import { CoreScene } from '../../support/core-scene.ts';
import { Random } from '../../support/random.ts';

const label = (text: string): Item => ({ type: 'label', text });
const address = (text: string): Item => ({ type: 'address', text });

t.test('the views of one life', async (t) => {
  const scene = new CoreScene();
  t.teardown(() => scene.close());
  const views: unknown[][] = [];
  scene.core.onView(({ view, kind, reason, state, slot, name, items }) =>
    views.push([view, kind, reason, state, slot, name, items.map(({ text }) => text).join()]),
  );
  scene.connect();
  const own = '10.0.0.1,zone=x';
  const items = scene.draft(1, [address('10.0.0.1'), label('zone=x')]);
  t.equal(scene.hello(1, 'a', 7, 3, LAYOUT_MINOR, items)[0], STATUS_OK);
  const [, listener] = scene.listen(1, 'echo');
  t.equal(scene.ask(1, OP_UNLISTEN, listener!)[0], STATUS_OK);
  t.equal(scene.ask(1, OP_DRAIN)[0], STATUS_OK);
  t.equal(scene.ask(1, OP_DRAIN)[0], STATUS_OK, 'a second DRAIN changes nothing');
  t.equal(scene.ask(1, OP_GOODBYE, REASON_MIGRATED)[0], STATUS_OK);
  scene.disconnect(1, REASON_CRASHED);
  t.strictSame(views, [
    [1, KIND_CONNECT, REASON_NONE, STATE_JOINING, 1, '', ''],
    [2, KIND_JOIN, REASON_NONE, STATE_ACTIVE, 1, 'a', own],
    [3, KIND_UPDATE, REASON_NONE, STATE_ACTIVE, 1, 'a', `${own},echo`],
    [4, KIND_UPDATE, REASON_NONE, STATE_ACTIVE, 1, 'a', own],
    [5, KIND_UPDATE, REASON_NONE, STATE_LEAVING, 1, 'a', own],
    [6, KIND_LEAVE, REASON_MIGRATED, STATE_JOINING, 1, 'a', ''],
    [7, KIND_DISCONNECT, REASON_MIGRATED, STATE_FREE, 1, '', ''],
  ]);
  t.match(scene.table(), { view: 7 });
  t.same(scene.table().records[1], scene.core.truth.views.records[1]);
});

t.test('why a member left', async (t) => {
  const scene = new CoreScene();
  t.teardown(() => scene.close());
  const left: number[] = [];
  scene.core.onView(({ kind, reason }) => void (kind === KIND_LEAVE && left.push(reason)));
  scene.connect();
  const last = (): number | undefined => left.at(-1);
  scene.hello(1, 'a', 1);
  scene.hello(1, 'a', 2);
  t.equal(last(), REASON_REBOOTED);
  scene.obituary(1, 1, REASON_CRASHED);
  scene.core.visit(1);
  t.equal(scene.slot(1).state, SLOT_ATTACHED, 'the obituary of an earlier life says nothing');
  scene.obituary(1, 2, REASON_UNPLUGGED);
  scene.core.visit(1);
  t.equal(scene.slot(1).state, SLOT_OCCUPIED);
  t.equal(last(), REASON_UNPLUGGED);
  scene.core.visit(1);
  t.equal(left.length, 2, 'once');
  for (const [said, counts] of [
    [REASON_EVICTED, REASON_CRASHED],
    [0, REASON_CRASHED],
    [-5, REASON_CRASHED],
    [99, REASON_CRASHED],
    [REASON_CLOSED, REASON_CLOSED],
  ] as const) {
    scene.hello(1, 'a', 10 + said);
    scene.obituary(1, 10 + said, said);
    scene.core.visit(1);
    t.equal(last(), counts, `an obituary that says ${said}`);
  }
  // The HELLO of a driver that died before it was served.
  scene.obituary(1, 77, REASON_CRASHED);
  t.equal(scene.hello(1, 'a', 77)[0], STATUS_OK);
  t.equal(scene.slot(1).state, SLOT_OCCUPIED);
  scene.hello(1, 'a', 78, 0, 0);
  scene.ask(1, OP_GOODBYE, REASON_UNPLUGGED);
  t.equal(last(), REASON_CLOSED, 'a 1.0 driver gives no reason');
  scene.hello(1, 'a', 79);
  scene.disconnect(1, REASON_CRASHED);
  t.equal(last(), REASON_CRASHED);
  t.match(scene.core.counters.leaves, { crashed: 6, closed: 2, rebooted: 1, unplugged: 1, evicted: 0 });
});

t.test('a member that was evicted stays out until its client is gone', async (t) => {
  const scene = new CoreScene({ slots: 2 });
  t.teardown(() => scene.close());
  scene.connect();
  scene.hello(1, 'a', 1);
  scene.core.transactions.run((tx) => scene.core.members.evict(tx, scene.slot(1)));
  t.match(scene.table().records[1], { kind: KIND_LEAVE, reason: REASON_EVICTED, state: STATE_JOINING });
  t.equal(scene.hello(1, 'a', 2)[0], STATUS_EVICTED);
  t.equal(scene.listen(1, 'x')[0], STATUS_EVICTED);
  t.equal(scene.connect(), null, 'the slot is not given again');
  scene.disconnect(1, REASON_CRASHED);
  t.equal(scene.connect()?.id, 1);
  t.equal(scene.hello(1, 'a', 3)[0], STATUS_OK);
});

t.test('nobody connects to a member that drains', async (t) => {
  const scene = new CoreScene();
  t.teardown(() => scene.close());
  for (const [i, name] of ['a', 'b', 'c'].entries()) {
    scene.connect();
    scene.hello(i + 1, name, 1);
  }
  scene.listen(1, 'echo');
  scene.listen(2, 'echo');
  scene.ask(1, OP_DRAIN);
  t.equal(scene.connectTo(3, 'echo', 'a')[0], STATUS_NO_SERVICE);
  for (let i = 0; i < 3; i++) t.equal(scene.connectTo(3, 'echo')[0], STATUS_OK);
  t.same([scene.core.truth.channels.count(1), scene.core.truth.channels.count(2)], [0, 3]);
});

t.test('descriptions that make no sense', async (t) => {
  const scene = new CoreScene();
  t.teardown(() => scene.close());
  scene.connect();
  t.equal(scene.describe(1, [label('a=b')])[0], STATUS_NOT_ATTACHED);
  scene.hello(1, 'a', 1);
  t.equal(scene.describe(1, [label('=b')])[0], STATUS_BAD_REQUEST);
  t.equal(scene.describe(1, [label('b')])[0], STATUS_BAD_REQUEST);
  t.equal(scene.describe(1, [{ type: 'listener', text: 'x' }])[0], STATUS_BAD_REQUEST);
  t.equal(scene.describe(1, Array(4).fill(address('x'.repeat(250))))[0], STATUS_BAD_REQUEST, 'too long');
  t.equal(scene.describe(1, [])[0], STATUS_OK);
  t.equal(scene.describe(1, Array(3).fill(address('x'.repeat(255))))[0], STATUS_OK);
  let listeners = 0;
  while (!scene.table().records[1]!.listenersTruncated) {
    t.equal(scene.listen(1, `service-${listeners++}`)[0], STATUS_OK);
  }
  const { items } = scene.table().records[1]!;
  t.equal(items.filter(({ type }) => type === 'listener').length, listeners - 1);
  t.equal(items.filter(({ type }) => type === 'address').length, 3);
});

t.test('who is told of a view', async (t) => {
  const scene = new CoreScene();
  t.teardown(() => scene.close());
  for (const [i, name] of ['a', 'b', 'c'].entries()) {
    scene.connect();
    scene.hello(i + 1, name, 1);
  }
  const { members } = scene.core.tables;
  const armed = (slot: number): number => members.block(slot) + MEMBER_W.armed;
  scene.words[members.block(2) + MEMBER_W.watching] = 1;
  const ready = (): void => {
    for (const slot of [1, 2, 3]) {
      scene.rung(slot);
      scene.words[armed(slot)] = 1;
      scene.words[members.block(slot) + MEMBER_W.summary] = 0;
    }
  };
  ready();
  scene.listen(3, 'x');
  t.same(
    [1, 2, 3].map((slot) => scene.rung(slot)),
    [0, 1, 1],
    'who watches, and who asked',
  );
  ready();
  scene.words[armed(2)] = 0;
  scene.ask(3, OP_GOODBYE);
  t.same(
    [1, 2].map((slot) => scene.rung(slot)),
    [0, 0],
    'who is awake is not rung',
  );
  t.equal(scene.words[members.block(2) + MEMBER_W.summary], 1, 'but marked');
  ready();
  scene.words[armed(1)] = 0;
  scene.disconnect(2, REASON_CRASHED);
  t.same(
    [1, 3].map((slot) => scene.rung(slot)),
    [1, 1],
    'after a death everybody, whatever armed says',
  );
});

t.test('damaged tables are written again', async (t) => {
  const scene = new CoreScene();
  t.teardown(() => scene.close());
  const { tables, truth } = scene.core;
  scene.connect();
  scene.hello(1, 'a', 1);
  scene.connect();
  scene.hello(2, 'b', 1);
  scene.listen(2, 'echo');
  scene.connectTo(1, 'echo');
  const before = scene.words.slice();
  const { header } = tables.membership;
  const spoil = (): void => {
    const random = new Random(1);
    const end = (tables.heapPage * PAGE_BYTES) / 4;
    for (let hit = 0; hit < 20_000; hit++) {
      const at = random.below(end);
      // The mailboxes are the members' own.
      if (at < tables.members.block(0) || at >= tables.members.block(8)) scene.words[at] = random.bits();
    }
  };
  spoil();
  t.equal(scene.ask(1, OP_REFRESH)[0], STATUS_OK);
  t.same(scene.table().records, truth.views.records);
  t.equal(scene.words[header + MEMBERSHIP_W.logStart], before[header + MEMBERSHIP_W.logEnd]);
  t.equal(scene.words[header + MEMBERSHIP_W.logEnd], before[header + MEMBERSHIP_W.logEnd]);
  t.same(scene.words.slice(0, 34), before.slice(0, 34), 'the header');
  for (let slot = 0; slot < 8; slot++) {
    const at = PAGE_BYTES / 4 + slot * (SLOT_BYTES / 4);
    for (const field of [SLOT_W.state, SLOT_W.epoch, SLOT_W.pid, SLOT_W.generation, SLOT_W.name])
      t.equal(scene.words[at + field], before[at + field], `field ${field} of slot ${slot}`);
  }
  const entry = tables.membership.header - PAGE_BYTES / 4 + CHANNEL_BYTES / 4;
  t.same(scene.words.slice(entry, entry + 11), before.slice(entry, entry + 11), 'channel 1');
  spoil();
  scene.ask(1, OP_REFRESH);
  t.equal(scene.core.counters.refreshes, 1, 'once a second');
});

t.test(
  'what an earlier client asked for is not done for the next, though the server died in between',
  async (t) => {
    const scene = new CoreScene();
    t.teardown(() => scene.close());
    scene.connect();
    scene.post(1, OP_GOODBYE);
    scene.disconnect(1, REASON_CRASHED);
    scene.dieIn = 1;
    t.throws(() => scene.connect(), { message: 'the server was killed' });
    scene.restart();
    t.match(scene.slot(1), { state: SLOT_OCCUPIED, epoch: 2, sent: 0 });
    scene.core.visit(1);
    t.equal(scene.slot(1).reply, null);
    t.equal(scene.hello(1, 'a', 5)[0], STATUS_OK);
  },
);

t.test('over a restart the log goes on, or its readers take the table', async (t) => {
  const scene = new CoreScene();
  t.teardown(() => scene.close());
  const { membership: place } = scene.core.tables;
  scene.connect();
  scene.restart();
  const end = (): number => scene.words[place.header + MEMBERSHIP_W.logEnd]!;
  let position = end();
  scene.hello(1, 'a', 1);
  t.match(readLog(scene.words, place, position), { record: { view: 2, kind: KIND_JOIN } });
  position = end();
  scene.dieIn = 1;
  t.throws(() => scene.disconnect(1, REASON_CRASHED), { message: 'the server was killed' });
  t.equal(scene.table().view, 2, 'nobody was told');
  scene.restart();
  t.match(
    readLog(scene.words, place, position),
    { record: { view: 3, kind: KIND_LEAVE } },
    'said by the next',
  );
  t.match(scene.table(), { view: 3, records: [null, { kind: KIND_LEAVE, state: STATE_FREE }] });
  position = scene.table().logEnd;
  scene.connect();
  t.match(readLog(scene.words, place, position), { record: { view: 4, kind: KIND_CONNECT } });
});
