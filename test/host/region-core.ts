import t from 'tap';
import type { Slot } from '../../src/host/slots.ts';
import {
  CHANNEL_BYTES,
  MEMBER_W,
  OP_CLOSE,
  OP_DRAIN,
  OP_GOODBYE,
  OP_LISTEN,
  OP_REFRESH,
  OP_UNLISTEN,
  PAGE_BYTES,
  SLOT_ATTACHED,
  SLOT_BYTES,
  SLOT_FREE,
  SLOT_OCCUPIED,
  SLOT_W,
  STATUS_BAD_REQUEST,
  STATUS_EVICTED,
  STATUS_NO_SERVICE,
  STATUS_NOT_ATTACHED,
  STATUS_OK,
} from '../../src/memory/layout.ts';
import type { Item } from '../../src/memory/member-record.ts';
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
} from '../../src/memory/membership.ts';
import { readLog } from '../../src/memory/view-log.ts';
import { CoreScene, Killed } from '../support/core-scene.ts';
import { Random, testSeed } from '../support/random.ts';

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
  scene.hello(1, 'a', 7);
  scene.describe(1, [address('10.0.0.1'), label('zone=x')]);
  const [, listener] = scene.listen(1, 'echo');
  t.equal(scene.ask(1, OP_UNLISTEN, listener!)[0], STATUS_OK);
  t.equal(scene.ask(1, OP_DRAIN)[0], STATUS_OK);
  t.equal(scene.ask(1, OP_DRAIN)[0], STATUS_OK, 'a second DRAIN changes nothing');
  t.equal(scene.ask(1, OP_GOODBYE, REASON_MIGRATED)[0], STATUS_OK);
  scene.disconnect(1, REASON_CRASHED);
  const own = '10.0.0.1,zone=x';
  t.strictSame(views, [
    [1, KIND_CONNECT, REASON_NONE, STATE_JOINING, 1, '', ''],
    [2, KIND_JOIN, REASON_NONE, STATE_ACTIVE, 1, 'a', ''],
    [3, KIND_UPDATE, REASON_NONE, STATE_ACTIVE, 1, 'a', own],
    [4, KIND_UPDATE, REASON_NONE, STATE_ACTIVE, 1, 'a', `${own},echo`],
    [5, KIND_UPDATE, REASON_NONE, STATE_ACTIVE, 1, 'a', own],
    [6, KIND_UPDATE, REASON_NONE, STATE_LEAVING, 1, 'a', own],
    [7, KIND_LEAVE, REASON_MIGRATED, STATE_JOINING, 1, 'a', ''],
    [8, KIND_DISCONNECT, REASON_NONE, STATE_FREE, 1, '', ''],
  ]);
  t.match(scene.table(), { view: 8 });
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
  t.equal(readLog(scene.words, place, position), 'behind');
  t.match(scene.table(), { view: 3, records: [null, { kind: KIND_LEAVE, state: STATE_FREE }] });
  position = scene.table().logEnd;
  scene.connect();
  t.match(readLog(scene.words, place, position), { record: { view: 4, kind: KIND_CONNECT } });
});

const SERVICES = ['x', 'y', 'z'];
const REASONS = [REASON_CLOSED, REASON_CRASHED, REASON_UNPLUGGED, REASON_MIGRATED];

/** One random thing that happens. */
function step(scene: CoreScene, random: Random, generation: number): void {
  const id = 1 + random.below(scene.config.slots - 1);
  const slot = scene.slot(id);
  if (slot.state === SLOT_FREE) scene.connect(random.below(2));
  else if (random.oneIn(30)) scene.disconnect(id, random.pick(REASONS));
  else if (slot.state === SLOT_OCCUPIED || random.oneIn(20))
    scene.hello(id, `m${random.below(9)}`, generation, random.below(4));
  else request(scene, random, slot, generation);
}

function request(scene: CoreScene, random: Random, { id, generation }: Slot, number: number): void {
  switch (random.below(16)) {
    case 0:
      scene.ask(id, OP_GOODBYE, random.below(8));
      break;
    case 1:
      scene.obituary(id, generation, random.below(9));
      scene.core.visit(id);
      break;
    case 2:
      scene.ask(id, random.pick([OP_DRAIN, OP_UNLISTEN, OP_LISTEN, 99]), random.below(10));
      break;
    case 3:
    case 4:
    case 5:
      scene.describe(id, [label(`a=${number}`), address('y'.repeat(1 + random.below(200)))]);
      break;
    case 6:
    case 7:
    case 8:
      scene.listen(id, random.pick(SERVICES));
      break;
    case 9:
    case 10: {
      const open = [...scene.core.truth.channels.open];
      if (open.length === 0) break;
      const { connector, listener, ...channel } = random.pick(open);
      scene.ask(random.pick([connector, listener]).slot, OP_CLOSE, channel.number, channel.generation);
      break;
    }
    default:
      scene.connectTo(id, random.pick(SERVICES), '', PAGE_BYTES * (1 + random.below(4)));
  }
}

/** Everybody goes: what is there then is all there ever was. */
function empty(scene: CoreScene): void {
  for (const { id } of scene.core.truth.slots.held()) scene.disconnect(id, REASON_CRASHED);
}

function accounts(scene: CoreScene): object {
  const { allocator, channels, services, slots } = scene.core.truth;
  return {
    pages: allocator.freePages,
    channels: channels.openCount,
    listeners: services.size,
    held: slots.held().length,
    charges: slots.slots.map(({ id }) => channels.charge(id)),
  };
}

t.test(
  'a thousand random events: what is read is the truth, in every view, and nothing is lost',
  async (t) => {
    const seed = testSeed();
    const random = new Random(seed);
    const scene = new CoreScene({ quota: { channels: 8, listeners: 3, heap: 0.5 } });
    t.teardown(() => scene.close());
    const start = accounts(scene);
    const place = scene.core.tables.membership;
    let position = scene.words[place.header + MEMBERSHIP_W.logEnd]!;
    let view = 0;
    for (let event = 1; event <= 1000; event++) {
      step(scene, random, event);
      const table = scene.table();
      const { views, slots } = scene.core.truth;
      if (JSON.stringify(table.records) !== JSON.stringify(views.records) || table.view !== views.view)
        t.strictSame(table, { view: views.view, records: views.records }, `event ${event}, seed ${seed}`);
      for (const record of table.records) {
        if (record === null) continue;
        const { state, epoch, name } = slots.slots[record.slot]!;
        const free = record.state === STATE_FREE;
        const attached = record.state > STATE_JOINING;
        if (
          free !== (state === SLOT_FREE) ||
          attached !== (state === SLOT_ATTACHED) ||
          record.epoch !== epoch
        )
          t.same(record, slots.slots[record.slot], `event ${event}, seed ${seed}`);
        if (attached && record.name !== name) t.equal(record.name, name, `event ${event}, seed ${seed}`);
      }
      for (let read = readLog(scene.words, place, position); read !== 'end'; ) {
        if (typeof read === 'string') throw new Error(`the log: ${read}, seed ${seed}`);
        if (read.record.view !== ++view)
          throw new Error(`view ${read.record.view} after ${view - 1}, seed ${seed}`);
        position = read.next;
        read = readLog(scene.words, place, position);
      }
      if (view !== views.view) t.equal(view, views.view, `event ${event}, seed ${seed}`);
    }
    t.ok(view > 300, `${view} views`);
    const { connect, close } = scene.core.counters.requests;
    t.ok((connect?.ok ?? 0) > 20, `${connect?.ok} channels`);
    t.ok((close?.ok ?? 0) > 5, `${close?.ok} closed by request`);
    empty(scene);
    t.same(accounts(scene), start, `seed ${seed}`);
  },
);

t.test('a server that dies between commit and effects: the next one does them', async (t) => {
  const seed = testSeed();
  const random = new Random(seed);
  const scene = new CoreScene();
  t.teardown(() => scene.close());
  const start = accounts(scene);
  let deaths = 0;
  for (let event = 1; event <= 3000; event++) {
    if (scene.dieIn === 0) scene.dieIn = 1 + random.below(20);
    try {
      step(scene, random, event);
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      deaths++;
      const dead = accounts(scene);
      scene.restart();
      const where = `death ${deaths}, event ${event}, seed ${seed}`;
      if (JSON.stringify(accounts(scene)) !== JSON.stringify(dead)) t.same(accounts(scene), dead, where);
      const { views } = scene.core.truth;
      const table = scene.table();
      if (JSON.stringify(table.records) !== JSON.stringify(views.records) || table.view !== views.view)
        t.same(table.records, views.records, where);
      for (const { id, lastSeq } of scene.core.truth.slots.held()) {
        if (lastSeq !== 0 && scene.words[scene.request(id)] === lastSeq && scene.reply(id) === null)
          t.fail(`slot ${id} has no answer: ${where}`);
      }
    }
  }
  t.ok(deaths > 100, `${deaths} deaths`);
  scene.dieIn = 0;
  empty(scene);
  t.same(accounts(scene), start, `seed ${seed}`);
});
