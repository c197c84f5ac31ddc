import t, { type Test } from 'tap';
import { readHeader } from '../../../src/memory/header.ts';
import {
  MAX_SPACES,
  OP_SPACE_CLOSE,
  OP_SPACE_OPEN,
  OP_SPACE_REMOVE,
  OPEN_ANY,
  OPEN_EXISTING,
  OPEN_NEW,
  PAGE_BYTES,
  SERVICE_BYTES,
  SPACE_PERSISTENT,
  STATUS_BAD_REQUEST,
  STATUS_NO_MEMORY,
  STATUS_NO_SPACE,
  STATUS_OK,
  STATUS_QUOTA,
  STATUS_SPACE_DIFFERS,
  STATUS_SPACE_EXISTS,
  SYSTEM_PAGES,
  tablePages,
} from '../../../src/memory/layout.ts';
import { REASON_CRASHED } from '../../../src/memory/membership.ts';
import { writeName } from '../../../src/memory/names.ts';
import { readSpace } from '../../../src/memory/space-table.ts';
import { CoreScene, Killed } from '../../support/core-scene.ts';
import { Random, testSeed } from '../../support/random.ts';

const MIB = 1 << 20;

/** Slots 1 to 3 are members a, b and c. */
function region(t: Test, more: object = {}): CoreScene {
  const scene = new CoreScene({ size: '4M', ...more });
  t.teardown(() => scene.close());
  for (const [index, name] of ['a', 'b', 'c'].entries()) {
    scene.connect();
    scene.hello(index + 1, name, 7);
  }
  return scene;
}

interface Asked {
  readonly mode?: number;
  readonly flags?: number;
  readonly bytes?: number;
}

function open(scene: CoreScene, slot: number, name: string, asked: Asked = {}): number[] {
  const { mode = OPEN_ANY, flags = 0, bytes = PAGE_BYTES } = asked;
  writeName(scene.words, scene.request(slot) + 6, SERVICE_BYTES, name);
  return scene.ask(slot, OP_SPACE_OPEN, mode, flags, bytes >>> 0, Math.floor(bytes / 2 ** 32));
}

function remove(scene: CoreScene, slot: number, name: string): number[] {
  writeName(scene.words, scene.request(slot) + 2, SERVICE_BYTES, name);
  return scene.ask(slot, OP_SPACE_REMOVE);
}

const free = (scene: CoreScene): number => scene.core.truth.allocator.freePages;
const entry = (scene: CoreScene, number: number) => readSpace(scene.words, readHeader(scene.memory), number);

t.test('created, opened, closed, gone', async (t) => {
  const scene = region(t);
  const before = free(scene);
  const [status, number, generation, firstPage, pages, created] = open(scene, 1, 'm', { bytes: 5000 });
  t.same([status, pages, created], [STATUS_OK, SYSTEM_PAGES + 2, 1]);
  t.match(entry(scene, number!), {
    name: 'm',
    generation,
    bytes: 5000,
    firstPage,
    pages,
    systemPages: SYSTEM_PAGES,
    persistent: false,
    holders: 1,
    creator: 1,
  });
  t.equal(free(scene), before - pages!);
  t.same(open(scene, 2, 'm', { bytes: 0 }).slice(0, 6), [STATUS_OK, number, generation, firstPage, pages, 0]);
  t.same(open(scene, 2, 'm').slice(0, 2), [STATUS_OK, number], 'twice is once');
  t.equal(entry(scene, number!)!.holders, 2);
  t.same(scene.ask(3, OP_SPACE_CLOSE, number!, generation!)[0], STATUS_NO_SPACE, 'not a holder');
  t.same(scene.ask(1, OP_SPACE_CLOSE, number!, generation! + 1)[0], STATUS_NO_SPACE, 'another life');
  t.same(scene.ask(1, OP_SPACE_CLOSE, number!, generation!)[0], STATUS_OK);
  t.same(scene.ask(1, OP_SPACE_CLOSE, number!, generation!)[0], STATUS_NO_SPACE);
  t.equal(entry(scene, number!)!.holders, 1);
  t.same(scene.ask(2, OP_SPACE_CLOSE, number!, generation!)[0], STATUS_OK);
  t.equal(entry(scene, number!), null);
  t.equal(free(scene), before);
});

t.test('its memory is zero, whatever was there', async (t) => {
  const scene = region(t);
  const [, number, generation, firstPage, pages] = open(scene, 1, 'm', { bytes: 3 * PAGE_BYTES });
  const bytes = new Uint8Array(scene.memory, firstPage! * PAGE_BYTES, pages! * PAGE_BYTES).fill(255);
  scene.ask(1, OP_SPACE_CLOSE, number!, generation!);
  const again = open(scene, 2, 'm', { bytes: 3 * PAGE_BYTES });
  t.equal(again[3], firstPage);
  t.not(again[2], generation, 'another life has another generation');
  t.ok(bytes.every((byte) => byte === 0));
});

t.test('what is asked for and what is there', async (t) => {
  const scene = region(t);
  const status = (name: string, asked: Asked): number => open(scene, 1, name, asked)[0]!;
  t.equal(status('m', { mode: OPEN_EXISTING }), STATUS_NO_SPACE);
  t.equal(status('m', { bytes: 0 }), STATUS_NO_SPACE, 'nobody says how large it is');
  t.equal(status('m', { mode: OPEN_NEW }), STATUS_OK);
  t.equal(status('m', { mode: OPEN_NEW }), STATUS_SPACE_EXISTS);
  t.equal(status('m', { bytes: PAGE_BYTES + 1 }), STATUS_SPACE_DIFFERS);
  t.equal(status('m', { mode: OPEN_EXISTING, bytes: 1 }), STATUS_OK);
  t.equal(remove(scene, 1, 'other')[0], STATUS_NO_SPACE);
});

t.test('requests that make no sense', async (t) => {
  const scene = region(t);
  const before = free(scene);
  const status = (name: string, asked: Asked): number => open(scene, 1, name, asked)[0]!;
  t.equal(status('m', { mode: 3 }), STATUS_BAD_REQUEST);
  t.equal(status('m', { mode: -1 }), STATUS_BAD_REQUEST);
  t.equal(status('m', { flags: 2 }), STATUS_BAD_REQUEST);
  t.equal(status('m', { flags: 1 << 8 }), STATUS_BAD_REQUEST);
  t.equal(status('m', { bytes: 2 ** 53 }), STATUS_BAD_REQUEST);
  t.equal(status('', {}), STATUS_BAD_REQUEST);
  t.equal(status('a\nb', {}), STATUS_BAD_REQUEST);
  t.equal(status('m', { bytes: 2 ** 53 - 1 }), STATUS_QUOTA);
  t.equal(status('m', { bytes: 2 ** 32 }), STATUS_QUOTA);
  t.equal(scene.ask(1, OP_SPACE_CLOSE, -1, 1)[0], STATUS_NO_SPACE);
  t.equal(scene.ask(1, OP_SPACE_CLOSE, 1e9, 0)[0], STATUS_NO_SPACE);
  t.equal(free(scene), before);
  t.same([...scene.core.truth.spaces!.all], []);
});

t.test('a holder that dies lets go; who is left pays', async (t) => {
  const scene = region(t);
  const before = free(scene);
  const { ledger } = scene.core.truth;
  const [, number, , , pages] = open(scene, 1, 'm');
  open(scene, 2, 'm');
  t.same([ledger.of(1).pages, ledger.of(2).pages], [pages, 0]);
  scene.disconnect(1, REASON_CRASHED);
  t.same([ledger.of(1).pages, ledger.of(2).pages], [0, pages]);
  t.equal(entry(scene, number!)!.holders, 1);
  scene.hello(2, 'b', 8);
  t.equal(entry(scene, number!), null, 'a reboot ends what the driver held');
  t.same([ledger.of(2).pages, ledger.of(2).spaces, free(scene)], [0, 0, before]);
});

t.test('a persistent space stays until it is removed', async (t) => {
  const scene = region(t);
  const before = free(scene);
  const { ledger } = scene.core.truth;
  const [, number, generation, firstPage, pages] = open(scene, 1, 'm', { flags: SPACE_PERSISTENT });
  new Uint8Array(scene.memory, (firstPage! + SYSTEM_PAGES) * PAGE_BYTES, 5).fill(42);
  scene.disconnect(1, REASON_CRASHED);
  t.match(entry(scene, number!), { holders: 0, persistent: true });
  t.same([ledger.of(1).pages, ledger.of(0).pages], [0, pages]);
  scene.restart();
  t.same(open(scene, 2, 'm', { mode: OPEN_EXISTING }).slice(0, 3), [STATUS_OK, number, generation]);
  t.equal(new Uint8Array(scene.memory)[(firstPage! + SYSTEM_PAGES) * PAGE_BYTES + 4], 42);
  t.same(remove(scene, 3, 'm').slice(0, 2), [STATUS_OK, 1], 'one still holds it');
  t.match(entry(scene, number!), { persistent: false });
  scene.ask(2, OP_SPACE_CLOSE, number!, generation!);
  t.equal(free(scene), before);
  open(scene, 1, 'n', { flags: SPACE_PERSISTENT });
  t.equal(scene.core.truth.ledger.of(0).spaces, 0, 'a slot nobody holds makes nothing');
  const [, other, life] = open(scene, 2, 'n', { flags: SPACE_PERSISTENT });
  scene.ask(2, OP_SPACE_CLOSE, other!, life!);
  t.same(remove(scene, 3, 'n').slice(0, 2), [STATUS_OK, 0]);
  t.equal(free(scene), before);
});

t.test('quotas: pages, spaces, what is persistent; a full region', async (t) => {
  const scene = region(t, { quota: { heap: 0.5, spaces: 3 } });
  const half = Math.floor((4 * MIB) / PAGE_BYTES / 2);
  t.equal(open(scene, 1, 'large', { bytes: half * PAGE_BYTES })[0], STATUS_QUOTA);
  for (const name of ['x', 'y', 'z']) t.equal(open(scene, 1, name)[0], STATUS_OK);
  t.equal(open(scene, 1, 'w')[0], STATUS_QUOTA);
  t.equal(open(scene, 2, 'x')[0], STATUS_OK);
  // Members that come and go leave no more behind than one of them could hold.
  const most = scene.core.truth.ledger.quota.pages;
  let kept = 0;
  for (let round = 0; round < 40; round++) {
    const [status, number, generation] = open(scene, 3, `p${round}`, {
      flags: SPACE_PERSISTENT,
      bytes: 64 << 10,
    });
    if (status !== STATUS_OK) continue;
    kept++;
    scene.ask(3, OP_SPACE_CLOSE, number!, generation!);
  }
  t.equal(kept, Math.floor(most / 32));
  const rest = region(t, { quota: { heap: 1 } });
  const bytes = (free(rest) - SYSTEM_PAGES) * PAGE_BYTES;
  t.equal(open(rest, 1, 'all', { bytes })[0], STATUS_OK);
  t.equal(open(rest, 2, 'more')[0], STATUS_NO_MEMORY);
});

t.test('a table without a free entry', async (t) => {
  const scene = region(t, { size: '16M', quota: { heap: 1, spaces: MAX_SPACES } });
  for (let i = 0; i < MAX_SPACES; i++) open(scene, 1, `s${i}`, { bytes: 1 });
  t.equal([...scene.core.truth.spaces!.all].length, MAX_SPACES);
  t.equal(open(scene, 2, 'more', { bytes: 1 })[0], STATUS_NO_MEMORY);
});

t.test('a region of layout 1.1 stays one under this server', async (t) => {
  const scene = region(t);
  const shape = scene.kept.get('region') as Record<string, unknown>;
  const { heapPage } = tablePages(scene.config.slots, scene.config.channels, 1);
  scene.kept.set('region', { ...shape, minor: 1, heapPage });
  scene.restart();
  t.match(readHeader(scene.memory), { minor: 1, heapPage, spacePage: 0 });
  t.equal(open(scene, 1, 'm')[0], STATUS_BAD_REQUEST);
  scene.listen(2, 'svc');
  t.equal(scene.connectTo(1, 'svc')[0], STATUS_OK, 'and everything else works');
  t.equal(scene.core.truth.channels.open[Symbol.iterator]().next().value?.firstPage, heapPage);
});

t.test('killed at any commit, it goes on with the same spaces', async (t) => {
  const seed = testSeed();
  const random = new Random(seed);
  const scene = region(t);
  const whole = free(scene);
  for (let turn = 0; turn < 1500; turn++) {
    if (random.oneIn(10)) scene.dieIn = 1;
    try {
      step(scene, random, turn);
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      scene.restart();
    }
    if (random.oneIn(50)) scene.restart();
    const { spaces, ledger } = scene.core.truth;
    const used = [...spaces!.all].reduce((sum, { pages }) => sum + pages, 0);
    if (free(scene) !== whole - used) return t.fail(`seed ${seed}: pages are lost at turn ${turn}`);
    for (const space of spaces!.all) {
      const seen = entry(scene, space.number);
      if (seen?.generation !== space.generation || seen.holders !== space.holders.length)
        return t.fail(`seed ${seed}: the table differs at turn ${turn}`);
    }
    const charged = [1, 2, 3].reduce((sum, slot) => sum + ledger.of(slot).pages, 0);
    const held = [...spaces!.all].filter(({ holders }) => holders.length > 0);
    if (charged !== held.reduce((sum, { pages }) => sum + pages, 0))
      return t.fail(`seed ${seed}: charges differ at turn ${turn}`);
  }
  scene.dieIn = 0;
  for (const slot of [1, 2, 3]) scene.disconnect(slot, REASON_CRASHED);
  for (const { name } of [...scene.core.truth.spaces!.all])
    scene.core.transactions.run((tx) => scene.core.truth.spaces!.remove(tx, name));
  t.equal(free(scene), whole, 'nothing is lost');
});

function step(scene: CoreScene, random: Random, turn: number): void {
  const slot = 1 + random.below(3);
  const name = `s${random.below(5)}`;
  const flags = random.oneIn(4) ? SPACE_PERSISTENT : 0;
  if (random.oneIn(40)) scene.hello(slot, `m${slot}`, turn + 100);
  else if (random.oneIn(6)) remove(scene, slot, name);
  else if (random.oneIn(2)) open(scene, slot, name, { flags, bytes: 1 + random.below(9 * PAGE_BYTES) });
  else {
    const all = [...scene.core.truth.spaces!.all];
    if (all.length === 0) return;
    const { number, generation } = random.pick(all);
    scene.ask(slot, OP_SPACE_CLOSE, number, generation);
  }
}
