/** A member that writes over all that the server and others read of membership, and what of it can be believed afterwards. */
import t from 'tap';
import { ServerMetrics } from '../../../src/host/metrics/metrics.ts';
import { regionSample } from '../../../src/host/metrics/region-sample.ts';
import {
  MEMBER_BYTES,
  MEMBER_W,
  OP_GOODBYE,
  OP_UNLISTEN,
  PAGE_BYTES,
  REQUEST_WORDS,
  SERVER_SLOT,
  SLOT_ATTACHED,
  SLOT_FREE,
  STATUS_OK,
} from '../../../src/memory/layout.ts';
import type { Item } from '../../../src/memory/member-record.ts';
import { REASON_CRASHED, STATE_ACTIVE } from '../../../src/memory/membership.ts';
import { CLIENT, CoreScene } from '../../support/core-scene.ts';
import { parseMetrics } from '../../support/prometheus.ts';
import { Random, testSeed } from '../../support/random.ts';

const label = (text: string): Item => ({ type: 'label', text });
const HOSTILE = 1;
const VICTIMS = [2, 3, 4, 5];
/** As the server has it, but with time for a test. */
const PACE = { windowMs: 1, burst: 1e6, perSecond: 1e6 };

/** Everything that stands for a word of its member; who writes there speaks for it. */
function isSpeech(word: number): boolean {
  const { request, draft, obituary, obituaryReason } = MEMBER_W;
  return (
    (word >= request && word < request + REQUEST_WORDS) ||
    (word >= draft && word < obituary) ||
    word === obituary ||
    word === obituaryReason
  );
}

/** Random words everywhere before the heap; the fields that matter more often than chance would. */
function scribble(scene: CoreScene, random: Random, spares: (slot: number, word: number) => boolean): void {
  const { members, heapPage } = scene.core.tables;
  const end = (heapPage * PAGE_BYTES) / 4;
  const [first, words] = [members.block(0), MEMBER_BYTES / 4];
  const store = (at: number, value: number): void => {
    const slot = Math.floor((at - first) / words);
    if (slot >= 0 && slot < scene.config.slots && spares(slot, (at - first) % words)) return;
    scene.words[at] = value;
  };
  const fields = Object.values(MEMBER_W);
  const absurd = (): number =>
    random.pick([0, 1, -1, 0x7fffffff, -0x80000000, random.below(16), random.bits()]);
  for (let hits = 0; hits < 200; hits++) store(random.below(end), random.bits());
  for (let hits = 0; hits < 60; hits++) {
    const field = random.pick(fields) + random.below(4);
    store(members.block(random.below(scene.config.slots)) + field, absurd());
  }
  if (random.oneIn(50)) {
    const value = absurd();
    for (let at = 0; at < end; at++) store(at, value);
  }
}

function forge(scene: CoreScene, random: Random): void {
  const slot = 1 + random.below(scene.config.slots - 1);
  const at = scene.request(slot);
  scene.words[at + 1] = random.below(12);
  if (random.oneIn(2)) scene.words[at] = random.bits();
  if (random.oneIn(6)) scene.obituary(slot, scene.slot(slot).generation, random.below(9));
  if (random.oneIn(4)) scene.draft(slot, [label(`forged=${random.below(99)}`)]);
}

/** What operators see: numbers, however wild. */
async function observed(scene: CoreScene): Promise<void> {
  const sample = regionSample(scene.config, scene.core, scene.memory);
  const numbers = [
    ...sample.members.flatMap(({ statistics }) => Object.values(statistics)),
    ...sample.channels.flatMap(({ forth, back }) => [forth, back].flatMap((way) => Object.values(way))),
  ];
  for (const number of numbers)
    if (!Number.isSafeInteger(number) || number < 0) throw new Error(`${number} is no counter`);
  const measured = {
    ...{ name: 'scene', counters: scene.core.counters },
    sample: async () => sample,
    spaces: async () => ({ region: 'scene', spaces: [] }),
  };
  parseMetrics(await new ServerMetrics(() => [measured]).text());
}

function tableIsTruth(scene: CoreScene, where: string): void {
  const { views } = scene.core.truth;
  views.repair();
  const table = scene.table();
  if (table.view !== views.view || JSON.stringify(table.records) !== JSON.stringify(views.records))
    throw new Error(`the table is not the truth: ${where}`);
}

t.test('who does not speak for others changes nothing of their records', { timeout: 60_000 }, async (t) => {
  const seed = testSeed();
  const random = new Random(seed);
  const scene = new CoreScene({}, PACE);
  t.teardown(() => scene.close());
  for (let slot = HOSTILE; slot <= VICTIMS.at(-1)!; slot++) {
    scene.connect();
    scene.hello(slot, `m${slot}`, slot);
  }
  const free = scene.core.truth.allocator.freePages;
  const said = new Map(VICTIMS.map((slot) => [slot, { label: '', listeners: new Map<string, number>() }]));
  const spares = (slot: number, word: number): boolean => VICTIMS.includes(slot) && isSpeech(word);
  for (let round = 0; round < 600; round++) {
    const where = `round ${round}, seed ${seed}`;
    scribble(scene, random, spares);
    for (let slot = 0; slot < 8; slot++) scene.core.visit(slot);
    const slot = random.pick(VICTIMS);
    const own = said.get(slot)!;
    const service = `s${random.below(3)}`;
    const id = own.listeners.get(service);
    if (random.oneIn(2)) {
      own.label = `n=${round}`;
      const [status] = scene.describe(slot, [label(own.label)]);
      if (status !== STATUS_OK) t.equal(status, STATUS_OK, where);
    } else if (id === undefined) {
      const [status, listener] = scene.listen(slot, service);
      if (status !== STATUS_OK) t.equal(status, STATUS_OK, where);
      own.listeners.set(service, listener!);
    } else {
      const [status] = scene.ask(slot, OP_UNLISTEN, id);
      if (status !== STATUS_OK) t.equal(status, STATUS_OK, where);
      own.listeners.delete(service);
    }
    if (random.oneIn(10)) await new Promise((resolve) => setImmediate(resolve));
    if (!random.oneIn(10)) continue;
    scene.core.settle();
    for (const [victim, { label, listeners }] of said) {
      const { state, name, generation, epoch, pid, items } = scene.core.truth.views.records[victim]!;
      const found = [state, name, generation, epoch, pid, ...items.map(({ text }) => text).sort()];
      const texts = [...(label === '' ? [] : [label]), ...listeners.keys()].sort();
      const expected = [STATE_ACTIVE, `m${victim}`, victim, 1, CLIENT.pid, ...texts];
      if (found.join() !== expected.join()) t.same(found, expected, `slot ${victim}, ${where}`);
    }
    tableIsTruth(scene, where);
    if (random.oneIn(4)) await observed(scene);
  }
  t.ok(scene.core.counters.views > 100, `${scene.core.counters.views} views`);
  for (const { id } of scene.core.truth.slots.held()) scene.disconnect(id, REASON_CRASHED);
  const { truth } = scene.core;
  t.ok(truth.allocator.freePages >= free);
  t.same([truth.channels.openCount, truth.services.size], [0, 0], `seed ${seed}`);
});

t.test('who speaks for everybody confuses members, and not the server', { timeout: 60_000 }, async (t) => {
  const seed = testSeed();
  const random = new Random(seed);
  const scene = new CoreScene({ quota: { channels: 8, listeners: 3, heap: 0.5 } }, PACE);
  t.teardown(() => scene.close());
  const { truth } = scene.core;
  const free = truth.allocator.freePages;
  for (let round = 0; round < 1500; round++) {
    const where = `round ${round}, seed ${seed}`;
    const slot = 1 + random.below(7);
    if (scene.slot(slot).state === SLOT_FREE) scene.connect();
    else if (random.oneIn(40)) scene.disconnect(slot, REASON_CRASHED);
    else if (scene.slot(slot).state !== SLOT_ATTACHED || random.oneIn(20))
      scene.hello(slot, `m${random.below(9)}`, 1 + round);
    else if (random.oneIn(3)) scene.listen(slot, `s${random.below(4)}`);
    else if (random.oneIn(2)) scene.connectTo(slot, `s${random.below(4)}`);
    else if (random.oneIn(8)) scene.ask(slot, OP_GOODBYE, random.below(8));
    scribble(scene, random, () => false);
    for (let n = 0; n < 4; n++) forge(scene, random);
    for (let id = 0; id < 8; id++) scene.core.visit(id);
    if (random.oneIn(10)) await new Promise((resolve) => setImmediate(resolve));
    if (!random.oneIn(10)) continue;
    scene.core.settle();
    tableIsTruth(scene, where);
    const charged = truth.slots.slots.map(({ id }) => truth.channels.charge(id));
    if (charged.some((charge) => Object.values(charge).some((number) => number < 0)))
      t.same(charged, [], where);
    const names = truth.slots.slots
      .filter(({ id, state }) => id !== SERVER_SLOT && state === SLOT_ATTACHED)
      .map(({ name }) => name);
    if (new Set(names).size !== names.length) t.same(names, [], where);
    for (const { id } of truth.slots.held())
      if (truth.services.count(id) > 3 || truth.channels.count(id) > 8 * 7) t.fail(where);
    if (random.oneIn(4)) await observed(scene);
  }
  t.ok(scene.core.counters.joins > 50, `${scene.core.counters.joins} joins`);
  t.ok((scene.core.counters.requests.connect?.ok ?? 0) > 0, 'channels');
  // The records of a server that was lied to are still records.
  scene.restart();
  for (const { id } of scene.core.truth.slots.held()) scene.disconnect(id, REASON_CRASHED);
  const after = scene.core.truth;
  t.same(
    [after.allocator.freePages, after.channels.openCount, after.services.size],
    [free, 0, 0],
    `seed ${seed}`,
  );
});
