import t from 'tap';
import type { Slot } from '../../../src/host/region/slots.ts';
import {
  OP_CLOSE,
  OP_DRAIN,
  OP_GOODBYE,
  OP_LISTEN,
  OP_UNLISTEN,
  PAGE_BYTES,
  SLOT_ATTACHED,
  SLOT_FREE,
  SLOT_OCCUPIED,
} from '../../../src/memory/layout.ts';
import type { Item } from '../../../src/memory/member-record.ts';
import {
  MEMBERSHIP_W,
  REASON_CLOSED,
  REASON_CRASHED,
  REASON_MIGRATED,
  REASON_UNPLUGGED,
  STATE_FREE,
  STATE_JOINING,
} from '../../../src/memory/membership.ts';
import { readLog } from '../../../src/memory/view-log.ts';
import { CoreScene, Killed } from '../../support/core-scene.ts';
import { Random, testSeed } from '../../support/random.ts';

const label = (text: string): Item => ({ type: 'label', text });
const address = (text: string): Item => ({ type: 'address', text });

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

/** Updates that follow another of their slot are owed until another view shows them. */
const OWING = { windowMs: 3_600_000, burst: 1e6, perSecond: 1e6 };

/** The listeners in the record of a slot, oldest first, when there was room for all. */
function shown(scene: CoreScene, id: number): string[] {
  const { items } = scene.core.truth.views.records[id]!;
  return items.filter(({ type }) => type === 'listener').map(({ text }) => text);
}

for (const [title, pace] of [
  ['', undefined],
  [', what it owed included', OWING],
] as const)
  t.test(`a server that dies between commit and effects: the next one does them${title}`, async (t) => {
    const seed = testSeed();
    const random = new Random(seed);
    const scene = new CoreScene({}, pace);
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
        for (const { id, state, lastSeq } of scene.core.truth.slots.held()) {
          const offered = scene.core.truth.services.of(id).map(({ service }) => service);
          if (state === SLOT_ATTACHED && shown(scene, id).join() !== offered.join())
            t.same(shown(scene, id), offered, where);
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
