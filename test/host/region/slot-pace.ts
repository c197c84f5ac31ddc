import t from 'tap';
import {
  EVENT_ENTRIES,
  LAYOUT_MINOR,
  OP_GOODBYE,
  OP_SUSPECT,
  SLOT_ATTACHED,
  SLOT_OCCUPIED,
  STATUS_OK,
} from '../../../src/memory/layout.ts';
import type { Item } from '../../../src/memory/member-record.ts';
import {
  KIND_JOIN,
  KIND_LEAVE,
  KIND_SUSPECT,
  KIND_UPDATE,
  MEMBERSHIP_W,
  REASON_CLOSED,
  REASON_CRASHED,
} from '../../../src/memory/membership.ts';
import { readLog } from '../../../src/memory/view-log.ts';
import { CoreScene } from '../../support/core-scene.ts';
import { until } from '../../support/protocol/until.ts';

const label = (text: string): Item => ({ type: 'label', text });
const texts = (scene: CoreScene, slot: number): string[] =>
  scene.table().records[slot]!.items.map(({ text }) => text);

/** Windows that nobody lives to see the end of. */
const FOREVER = { windowMs: 3_600_000, burst: 1e6, perSecond: 1e6 };

function attached(scene: CoreScene, ...names: string[]): CoreScene {
  for (const name of names) scene.hello(scene.connect()!.id, name, 1);
  return scene;
}

t.test('updates in quick succession: the first is a view, the others are one', async (t) => {
  const scene = attached(new CoreScene({}, { windowMs: 50, burst: 1e6, perSecond: 1e6 }), 'a', 'b');
  t.teardown(() => scene.close());
  const start = scene.table().view;
  const kinds: number[] = [];
  scene.core.onView(({ kind }) => kinds.push(kind));
  t.equal(scene.describe(1, [label('n=0')])[0], STATUS_OK);
  t.same([scene.table().view, texts(scene, 1)], [start + 1, ['n=0']], 'at once');
  t.notOk(scene.core.owing, 'nothing is owed, so that no timer runs');
  for (let n = 1; n < 50; n++)
    t.equal(scene.describe(1, [label(`n=${n}`)])[0], STATUS_OK, 'answered at once');
  const [, id] = scene.listen(1, 'echo');
  t.ok(id! > 0);
  t.same([scene.table().view, texts(scene, 1)], [start + 1, ['n=0']], 'the others wait');
  scene.describe(2, [label('b=1')]);
  t.same(texts(scene, 2), ['b=1'], 'another slot does not wait for it');
  await until('the update is there', () => texts(scene, 1).includes('n=49'));
  t.same(texts(scene, 1), ['n=49', 'echo'], 'all of it');
  t.same(kinds, [KIND_UPDATE, KIND_UPDATE, KIND_UPDATE]);
  t.equal(scene.core.counters.coalesced, 50);
  t.notOk(scene.core.owing);
});

t.test('a server that dies owing an update: the next one shows it', async (t) => {
  const scene = attached(new CoreScene({}, FOREVER), 'a', 'b');
  t.teardown(() => scene.close());
  for (const n of [1, 2, 3]) scene.describe(1, [label(`n=${n}`)]);
  scene.listen(1, 'echo');
  t.same(texts(scene, 1), ['n=1']);
  const { membership: place } = scene.core.tables;
  const position = scene.words[place.header + MEMBERSHIP_W.logEnd]!;
  scene.restart();
  t.same(texts(scene, 1), ['n=3', 'echo']);
  t.match(
    readLog(scene.words, place, position),
    { record: { kind: KIND_UPDATE, slot: 1 } },
    'in the log too',
  );
  t.same(
    [...scene.kept.keys()].filter((key) => key.startsWith('owed')),
    [],
    'nothing is owed any more',
  );
  const { view } = scene.table();
  scene.restart();
  t.equal(scene.table().view, view, 'once');
});

t.test('any other view of the slot shows what was owed', async (t) => {
  const scene = attached(new CoreScene({}, FOREVER), 'a');
  t.teardown(() => scene.close());
  const kinds: number[] = [];
  scene.core.onView(({ kind }) => kinds.push(kind));
  for (const n of [1, 2]) scene.describe(1, [label(`n=${n}`)]);
  t.ok(scene.core.owing);
  scene.core.transactions.run((tx) => scene.core.members.suspect(tx, scene.slot(1), true));
  t.same(texts(scene, 1), ['n=2']);
  t.notOk(scene.core.owing);
  scene.describe(1, [label('n=3')]);
  scene.ask(1, OP_GOODBYE, REASON_CLOSED);
  t.notOk(scene.core.owing, 'who left has nothing to tell');
  scene.core.settle();
  scene.hello(1, 'a', 2);
  scene.describe(1, [label('n=4')]);
  t.same(texts(scene, 1), [], 'a new life of the same slot goes on with its window');
  scene.core.settle();
  t.same(texts(scene, 1), ['n=4']);
  t.same(kinds, [KIND_UPDATE, KIND_SUSPECT, KIND_LEAVE, KIND_JOIN, KIND_UPDATE]);
});

t.test('a server that pauses shows nothing by itself until it goes on', async (t) => {
  const scene = attached(new CoreScene({}, { windowMs: 1, burst: 1e6, perSecond: 1e6 }), 'a');
  t.teardown(() => scene.close());
  while (!scene.core.owing) scene.describe(1, [label(`n=${scene.core.truth.views.view}`)]);
  scene.core.pause();
  t.notOk(scene.core.owing);
  const { view } = scene.table();
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(scene.table().view, view);
  scene.core.resume();
  t.equal(scene.table().view, view + 1);
});

t.test('lives without end: a slot that used up its tokens waits, and nobody else', async (t) => {
  const scene = attached(new CoreScene({}, { windowMs: 0, burst: 5, perSecond: 10 }), 'a', 'b');
  t.teardown(() => scene.close());
  let lives = 1;
  while (scene.hello(1, 'a', lives + 1) !== null) lives++;
  t.equal(lives, 5, 'as many as there were tokens');
  t.equal(scene.core.counters.postponed, 1);
  t.ok(scene.core.owing, 'somebody will look at it');
  scene.core.visit(1);
  scene.core.visit(1);
  t.equal(scene.core.counters.postponed, 1, 'the same request');
  t.equal(scene.hello(2, 'b', 2)[0], STATUS_OK, 'another slot');
  scene.obituary(1, lives, REASON_CRASHED);
  scene.core.visit(1);
  t.equal(scene.slot(1).state, SLOT_OCCUPIED, 'a death is noticed although a request waits');
  await until('its turn', () => scene.reply(1) !== null);
  t.match(scene.slot(1), { state: SLOT_ATTACHED, generation: lives + 1 });
  t.ok(scene.core.counters.joins >= 7);
});

t.test('a request that waited is not forgotten over a restart', async (t) => {
  const scene = attached(new CoreScene({}, { windowMs: 0, burst: 2, perSecond: 0.001 }), 'a');
  t.teardown(() => scene.close());
  scene.hello(1, 'a', 2);
  t.equal(scene.hello(1, 'a', 3), null);
  scene.restart();
  t.notOk(scene.core.owing);
  scene.core.visit(1);
  t.equal(scene.reply(1)?.[0], STATUS_OK, 'the next server counts from the start');
});

t.test('who changes its mind about suspects without end wakes nobody without end', async (t) => {
  const scene = attached(
    new CoreScene({}, { windowMs: 0, burst: 10, perSecond: 1 }),
    'flooder',
    ...['b', 'c', 'd'],
  );
  t.teardown(() => scene.close());
  t.equal(scene.ask(1, OP_SUSPECT, 60_000)[0], STATUS_OK);
  for (let n = 0; n < 100; n++) t.equal(scene.ask(1, OP_SUSPECT, 60_000)[0], STATUS_OK, 'no change, no cost');
  const before = scene.core.counters.pulses;
  let served = 0;
  while (scene.ask(1, OP_SUSPECT, 70_000 + served) !== null) served++;
  t.ok(served < 12, `${served}`);
  t.ok(scene.core.counters.pulses - before <= 4 * 12);
  scene.ask(2, OP_SUSPECT, 0);
});

t.test('a flood of updates is answered, and its readers keep up', async (t) => {
  const usual = attached(new CoreScene({}, { windowMs: 5, burst: 20, perSecond: 20 }), 'flooder', 'b');
  t.teardown(() => usual.close());
  const { membership: place } = usual.core.tables;
  const { views } = usual.core.counters;
  let position = usual.words[place.header + MEMBERSHIP_W.logEnd]!;
  const start = performance.now();
  let requests = 0;
  let read = 0;
  const others: string[] = [];
  for (let turn = 0; turn < 60; turn++) {
    for (let n = 0; n < EVENT_ENTRIES; n++) {
      const [status] = usual.describe(1, [label(`n=${requests++}${'x'.repeat(200)}`)]);
      if (status !== STATUS_OK) t.equal(status, STATUS_OK);
    }
    if (turn % 20 === 0) usual.hello(2, 'b', 2 + turn, 3, LAYOUT_MINOR);
    await new Promise((resolve) => setTimeout(resolve, 1));
    for (let next = readLog(usual.words, place, position); next !== 'end'; read++) {
      if (typeof next === 'string') throw new Error(`the log: ${next}`);
      if (next.record.slot === 2) others.push(`${next.record.kind}`);
      position = next.next;
      next = readLog(usual.words, place, position);
    }
  }
  const seconds = (performance.now() - start) / 1000;
  t.same(
    others,
    [0, 1, 2].flatMap(() => [`${KIND_LEAVE}`, `${KIND_JOIN}`]),
    'the events of others are all there',
  );
  t.equal(read, usual.core.counters.views - views, 'nobody fell behind');
  const most = 20 + 20 * seconds + others.length + 1;
  t.ok(read <= most, `${read} views of ${requests} requests in ${seconds.toFixed(2)} s, at most ${most}`);
  await until('the last one', () => texts(usual, 1)[0]!.startsWith(`n=${requests - 1}x`));
});
