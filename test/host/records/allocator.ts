import t from 'tap';
import { PageAllocator } from '../../../src/host/records/allocator.ts';
import { Random, testSeed } from '../../support/random.ts';

const silent = { taken() {} };

t.test('first fit, and neighbours grow together again', async (t) => {
  const heap = new PageAllocator(10, 8, silent);
  t.same([heap.allocate(2), heap.allocate(3), heap.allocate(3)], [10, 12, 15]);
  t.equal(heap.allocate(1), null);
  heap.release(12);
  t.equal(heap.allocate(4), null, 'no run is long enough');
  t.equal(heap.allocate(1), 12);
  heap.release(10);
  heap.release(12);
  t.equal(heap.allocate(5), 10);
  heap.release(15);
  heap.release(10);
  t.equal(heap.freePages, 8);
  t.equal(heap.allocate(8), 10);
});

t.test('an empty heap', async (t) => {
  const heap = new PageAllocator(10, 0, silent);
  t.equal(heap.allocate(1), null);
  t.throws(() => heap.release(10), RangeError);
});

t.test('allocations never overlap, never leave the heap, and nothing is lost', async (t) => {
  const seed = testSeed();
  const random = new Random(seed);
  const FIRST = 7;
  const PAGES = 200;
  const heap = new PageAllocator(FIRST, PAGES, silent);
  const owner = new Array<number>(PAGES).fill(0);
  const live = new Map<number, number>();
  let faults = 0;
  for (let step = 1; step <= 20_000; step++) {
    if (random.oneIn(2) || live.size === 0) {
      const pages = 1 + random.below(random.oneIn(10) ? 80 : 12);
      const start = heap.allocate(pages);
      if (start === null) {
        // True to first fit: there must be no free run of that length.
        if (
          owner
            .join('')
            .replace(/[1-9]\d*/g, 'x')
            .includes('0'.repeat(pages))
        )
          faults++;
        continue;
      }
      for (let page = start; page < start + pages; page++) {
        if (owner[page - FIRST] !== 0) faults++;
        owner[page - FIRST] = 1;
      }
      live.set(start, pages);
    } else {
      const start = random.pick([...live.keys()]);
      heap.release(start);
      owner.fill(0, start - FIRST, start - FIRST + live.get(start)!);
      live.delete(start);
    }
    if (heap.freePages !== owner.filter((one) => one === 0).length) faults++;
  }
  t.equal(faults, 0, `seed ${seed}`);
  for (const start of live.keys()) heap.release(start);
  t.equal(heap.allocate(PAGES), FIRST, 'the heap is one run again');
});

t.test('runs can be claimed as they were before a restart', async (t) => {
  const seed = testSeed();
  const random = new Random(seed);
  for (let round = 0; round < 50; round++) {
    const old = new PageAllocator(10, 200, silent);
    const runs: { start: number; pages: number }[] = [];
    for (let i = 0; i < 40; i++) {
      const pages = 1 + random.below(12);
      const start = old.allocate(pages);
      if (start !== null) runs.push({ start, pages });
      if (runs.length > 0 && random.oneIn(3)) {
        const [gone] = runs.splice(random.below(runs.length), 1);
        old.release(gone!.start);
      }
    }
    const next = new PageAllocator(10, 200, silent);
    for (const { start, pages } of runs.sort(() => random.below(3) - 1)) {
      if (!next.claim(start, pages)) t.fail(`${pages} pages from ${start} are free (seed ${seed})`);
      if (next.claim(start + pages - 1, 1)) t.fail(`page ${start + pages - 1} is taken (seed ${seed})`);
    }
    t.equal(next.freePages, old.freePages, `seed ${seed}`);
    for (const { start } of runs) next.release(start);
    t.equal(next.allocate(200), 10, 'one run again');
  }
  const allocator = new PageAllocator(10, 200, silent);
  for (const [start, pages] of [
    [9, 1],
    [209, 2],
    [300, 1],
    [10, 0],
    [12, -1],
  ] as const)
    t.notOk(allocator.claim(start, pages));
});

t.test('who is told of what comes into use', async (t) => {
  const told: [number, number][] = [];
  const heap = new PageAllocator(10, 8, { taken: (start, pages) => told.push([start, pages]) });
  heap.allocate(3);
  heap.claim(15, 2);
  t.equal(heap.allocate(9), null);
  t.equal(heap.claim(15, 1), false);
  heap.release(10);
  t.same(
    told,
    [
      [10, 3],
      [15, 2],
    ],
    'what was given out or claimed, and nothing else',
  );
});
