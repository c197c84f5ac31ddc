import t from 'tap';
import { Blocks } from '../../../src/dsm/heap/blocks.ts';
import { Heap } from '../../../src/dsm/heap/heap.ts';
import { HEAP_W, listOf, UNIT } from '../../../src/dsm/heap/layout.ts';
import { Transaction } from '../../../src/dsm/heap/transaction.ts';
import { Random, testSeed } from '../../support/random.ts';
import { endWorlds, interleave, type Member, World } from '../support/world.ts';

t.teardown(endWorlds);

const BYTES = 64 << 10;
const heapOf = (member: Member): Heap => new Heap(member.memory, member.sync);

t.test('what one allocates another frees', (t) => {
  const world = new World(BYTES);
  const [a, b] = [heapOf(world.join(1)), heapOf(world.join(2))];
  const offset = a.alloc(100);
  t.ok(offset >= 4096 && offset % 16 === 0);
  t.equal(a.alloc(1, { align: 4096 }) % 4096, 0);
  a.root = offset;
  t.equal(b.root, offset);
  t.equal(b.statistics.usedBlocks, 2);
  b.free(b.root);
  t.equal(a.check().usedBlocks, 1);
  t.equal(world.notifications, 0, 'nobody is woken for that');
  t.end();
});

t.test('full is a value, and all comes back', (t) => {
  const world = new World(BYTES);
  const heap = heapOf(world.join(1));
  t.equal(heap.alloc(BYTES), 0);
  const pieces: number[] = [];
  for (let offset = heap.alloc(500); offset !== 0; offset = heap.alloc(500)) pieces.push(offset);
  t.ok(pieces.length > 100);
  heap.check();
  for (const [n, offset] of pieces.entries()) if (n % 2 === 0) heap.free(offset);
  t.equal(heap.alloc(1000), 0, 'holes between neighbours');
  for (const [n, offset] of pieces.entries()) if (n % 2 === 1) heap.free(offset);
  t.equal(heap.check().usedBytes, 0);
  t.ok(heap.alloc(BYTES - 4096 - 64) > 0, 'merged to one');
  t.end();
});

t.test('what was not allocated is not freed', (t) => {
  const world = new World(BYTES);
  const heap = heapOf(world.join(1));
  const offset = heap.alloc(64);
  for (const wrong of [0, 8, 16, offset + 16, offset + 8, -16, 2 ** 40, NaN, 1.5, BYTES - 16, BYTES])
    t.throws(() => heap.free(wrong), { code: 'ERR_IVSHMEM_HEAP_ARGUMENT' }, String(wrong));
  heap.free(offset);
  t.throws(() => heap.free(offset), { code: 'ERR_IVSHMEM_HEAP_ARGUMENT' }, 'twice');
  for (const size of [0, -1, 1.5, NaN, 2 ** 60])
    t.throws(() => heap.alloc(size), { code: 'ERR_IVSHMEM_HEAP_ARGUMENT' });
  for (const align of [0, 8, 24, 8192])
    t.throws(() => heap.alloc(8, { align }), { code: 'ERR_IVSHMEM_HEAP_ARGUMENT' });
  for (const into of [0, 4, 4092, BYTES, 1.5])
    t.throws(() => heap.alloc(8, { into }), { code: 'ERR_IVSHMEM_HEAP_ARGUMENT' });
  t.throws(() => (heap.root = 8), { code: 'ERR_IVSHMEM_HEAP_ARGUMENT' });
  t.throws(() => heapOf(new World(4096).join(1)), { code: 'ERR_IVSHMEM_HEAP_SIZE' });
  heap.check();
  t.end();
});

t.test('a pointer is set, and cleared, with what it points to', (t) => {
  const world = new World(BYTES);
  const heap = heapOf(world.join(1));
  const node = heap.alloc(16);
  const view = new DataView(world.buffer);
  const piece = heap.alloc(32, { into: node + 8 });
  t.equal(view.getUint32(node + 8, true), piece);
  heap.free(piece, { from: node + 8 });
  t.equal(view.getUint32(node + 8, true), 0);
  t.equal(heap.check().usedBlocks, 1);
  t.end();
});

t.test('sizes are found again in their list', (t) => {
  let before = 0;
  for (let units = 2; units < 2 ** 29; units = Math.ceil(units * 1.07)) {
    t.ok(listOf(units) >= before && listOf(units) < 128, `${units}`);
    before = listOf(units);
  }
  t.end();
});

/** Allocates and frees at random; afterwards every piece is whole and the heap in order. */
function churn(heap: Heap, random: Random, pieces: Map<number, number>): void {
  const bytes = new Uint8Array(heap.buffer);
  if (random.oneIn(2) || pieces.size === 0) {
    const size = 1 + random.below(random.oneIn(5) ? 4000 : 200);
    const offset = heap.alloc(size, random.oneIn(6) ? { align: 16 << random.below(9) } : {});
    if (offset === 0) return;
    pieces.set(offset, size);
    bytes.fill(offset >> 4, offset, offset + size);
  } else {
    const [offset, size] = random.pick([...pieces]);
    for (let n = 0; n < size; n++)
      if (bytes[offset + n] !== ((offset >> 4) & 255)) throw new Error(`a piece at ${offset} was written to`);
    heap.free(offset);
    pieces.delete(offset);
  }
}

t.test('at random, by several members', (t) => {
  const seed = testSeed();
  t.comment(`IVSHMEM_TEST_SEED=${seed}`);
  const random = new Random(seed);
  const world = new World(BYTES);
  const heaps = [1, 2, 3].map((slot) => heapOf(world.join(slot)));
  const pieces = new Map<number, number>();
  for (let n = 0; n < 4000; n++) {
    churn(random.pick(heaps), random, pieces);
    if (n % 100 === 0) t.equal(heaps[0]!.check().usedBlocks, pieces.size);
  }
  t.end();
});

t.test('a death at every step of a change, with any part of its stores made', (t) => {
  const seed = testSeed();
  t.comment(`IVSHMEM_TEST_SEED=${seed}`);
  const random = new Random(seed);
  const world = new World(BYTES);
  const words = new Int32Array(world.buffer);
  const pieces = new Map<number, number>();
  const survivor = heapOf(world.join(1));
  let finished = 0;
  let undone = 0;
  for (let n = 0; n < 1500; n++) {
    churn(survivor, random, pieces);
    const victim = world.join(2);
    const heap = heapOf(victim);
    const before = words.slice();
    const was = survivor.statistics.usedBlocks;
    const [offset] = pieces.size > 0 && random.oneIn(2) ? random.pick([...pieces]) : [0];
    const step = random.below(8);
    let given = 0;
    interleave(
      victim,
      step,
      () => {
        if (offset === 0) given = heap.alloc(1 + random.below(900));
        else heap.free(offset);
      },
      () => {
        // The stores after the decision may have come to memory or not, in any number.
        const count = words[HEAP_W.journal]!;
        for (let entry = 0; entry < count; entry++) {
          const place = words[HEAP_W.journal + 1 + 2 * entry]!;
          if (random.oneIn(2)) words[place] = before[place]!;
        }
        world.kill(victim);
      },
    );
    world.kill(victim);
    survivor.check();
    const { usedBlocks } = survivor.statistics;
    if (offset !== 0) {
      t.ok(usedBlocks === was || usedBlocks === was - 1);
      if (usedBlocks === was - 1) pieces.delete(offset);
    } else {
      t.ok(usedBlocks === was || usedBlocks === was + 1);
      if (usedBlocks > was && given === 0) {
        // What a dead member got before it could say so: found by walking, here to be rid of it.
        const tx = new Transaction(words);
        const blocks = new Blocks(tx, words.length / 4);
        for (let at = 4096 / UNIT; at !== blocks.last; at += blocks.size(at))
          if (blocks.used(at) && !pieces.has((at + 1) * UNIT)) survivor.free((at + 1) * UNIT);
      } else if (usedBlocks > was) survivor.free(given);
    }
    if (usedBlocks === was) undone++;
    else finished++;
  }
  t.ok(finished > 100 && undone > 100, `${finished} finished, ${undone} did not happen`);
  t.equal(survivor.check().usedBlocks, pieces.size);
  t.end();
});

t.test('a death while the heap is made', (t) => {
  for (let step = 0; step < 30; step++) {
    const world = new World(BYTES);
    new Uint8Array(world.buffer).fill(0xa5);
    const victim = world.join(1);
    victim.sync.mutex('ready');
    const reached = interleave(
      victim,
      step,
      () => void heapOf(victim),
      () => world.kill(victim),
    );
    const heap = heapOf(world.join(2));
    t.equal(heap.check().usedBlocks, 0);
    t.ok(heap.alloc(100) > 0);
    if (!reached) break;
  }
  t.end();
});

t.test('nonsense in memory is an error, not a hang', (t) => {
  const seed = testSeed();
  t.comment(`IVSHMEM_TEST_SEED=${seed}`);
  const random = new Random(seed);
  let damaged = 0;
  for (let round = 0; round < 200; round++) {
    const world = new World(16 << 10);
    const heap = heapOf(world.join(1));
    const words = new Int32Array(world.buffer);
    const pieces = [1, 2, 3, 4, 5, 6].map((n) => heap.alloc(n * 100));
    heap.free(pieces[1]!);
    heap.free(pieces[4]!);
    for (let n = 0; n < 40; n++)
      words[random.below(words.length)] = random.oneIn(2) ? random.bits() | 0 : random.below(1024);
    for (let n = 0; n < 20; n++) {
      try {
        if (random.oneIn(2)) heap.alloc(1 + random.below(2000));
        else heap.free(random.pick(pieces));
        heap.check();
      } catch (error) {
        t.match((error as { code: string }).code, /^ERR_IVSHMEM_HEAP_/);
        damaged++;
      }
    }
  }
  t.ok(damaged > 0);
  t.end();
});

t.test('an owner that stands still is named, and can be waited for', async (t) => {
  const world = new World(BYTES);
  const [a, b] = [world.join(1), world.join(2)];
  const heap = new Heap(b.memory, b.sync, 50);
  const word = a.sync.word('heap', 'heap');
  Atomics.store(a.sync.words, word, a.sync.lives.token);
  t.throws(() => heap.alloc(8), { code: 'ERR_IVSHMEM_HEAP_BUSY' });
  t.throws(() => heap.alloc(8), { code: 'ERR_IVSHMEM_HEAP_BUSY' }, 'again');
  t.equal(await heap.whenFree({ timeout: 20 }), false);
  await t.rejects(heap.whenFree({ signal: AbortSignal.abort(new Error('enough')) }), { message: 'enough' });
  const controller = new AbortController();
  const aborted = heap.whenFree({ signal: controller.signal });
  controller.abort(new Error('enough'));
  await t.rejects(aborted, { message: 'enough' });
  const waits = heap.whenFree();
  world.kill(a);
  t.equal(await waits, true, 'it died');
  t.ok(heap.alloc(8) > 0);
  t.equal(await heap.whenFree({ timeout: 0 }), true);
});
