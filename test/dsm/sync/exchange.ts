/** What is stored before something is let go of is loaded by who gets it, in a space whose stores are not seen at once. */
import t, { type Test } from 'tap';
import { Heap } from '../../../src/dsm/heap/heap.ts';
import type { Held } from '../../../src/dsm/sync/held.ts';
import type { Synchronization } from '../../../src/dsm/sync/synchronization.ts';
import { Random, testSeed } from '../../support/random.ts';
import { Copy, Master, refusal } from '../support/copies.ts';
import { endWorlds, type Member, World, watch } from '../support/world.ts';

t.teardown(endWorlds);

const BYTES = 64 << 10;

/** Members of different hosts. */
class Hosts {
  readonly world = new World();
  readonly master = new Master(BYTES);
  readonly copies: Copy[] = [];
  readonly members: Member[] = [];

  constructor(t: Test, count: number) {
    for (let n = 0; n < count; n++) {
      this.members.push(this.world.join(n + 1));
      this.copies.push(new Copy(this.members[n]!, this.master));
    }
    t.teardown(() => {
      for (const { sync } of this.copies) sync.close();
    });
  }

  kill(n: number): void {
    this.world.kill(this.members[n]!);
  }
}

interface Scene {
  /** The first has it. */
  readonly hold?: (sync: Synchronization) => Promise<Held>;
  readonly letGo: (sync: Synchronization, held: Held | undefined) => unknown;
  readonly get: (sync: Synchronization) => Promise<unknown>;
  /** Whether a third could get it. */
  readonly early?: (sync: Synchronization) => boolean;
}

const scenes: Record<string, Scene> = {
  mutex: {
    hold: (sync) => sync.mutex('x').lock(),
    letGo: (_sync, held) => held!.release(),
    get: (sync) => sync.mutex('x').lock(),
    early: (sync) => sync.mutex('x').tryLock(),
  },
  'writer of a rwlock': {
    hold: (sync) => sync.rwlock('x').write(),
    letGo: (_sync, held) => held!.release(),
    get: (sync) => sync.rwlock('x').read(),
  },
  'reader of a rwlock': {
    hold: (sync) => sync.rwlock('x').read(),
    letGo: (_sync, held) => held!.release(),
    get: (sync) => sync.rwlock('x').write(),
  },
  semaphore: {
    letGo: (sync) => sync.semaphore('x').release(),
    get: (sync) => sync.semaphore('x').acquire(),
    early: (sync) => sync.semaphore('x').tryAcquire(),
  },
  permits: {
    hold: (sync) => sync.permits('x', { count: 1 }).acquire(),
    letGo: (_sync, held) => held!.release(),
    get: (sync) => sync.permits('x', { count: 1 }).acquire(),
    early: (sync) => sync.permits('x', { count: 1 }).tryAcquire() !== undefined,
  },
  counter: {
    letGo: (sync) => sync.counter('x').add(1),
    get: (sync) => sync.counter('x').reach(1),
    early: (sync) => sync.counter('x').value > 0n,
  },
  'counter that is set': {
    letGo: (sync) => sync.counter('x').set(5n),
    get: (sync) => sync.counter('x').reach(5n),
    early: (sync) => sync.counter('x').value > 0n,
  },
  once: {
    letGo: (sync) => sync.once('x').run(() => {}),
    get: (sync) => sync.once('x').run(() => {}),
    early: (sync) => sync.once('x').done,
  },
  barrier: {
    letGo: (sync) => sync.barrier('x', { parties: 2 }).arrive(),
    get: (sync) => sync.barrier('x', { parties: 2 }).arrive(),
  },
};

for (const [name, { hold, letGo, get, early }] of Object.entries(scenes))
  t.test(name, async (t) => {
    const { copies, world } = new Hosts(t, 3);
    const [a, b, c] = copies as [Copy, Copy, Copy];
    const held = await hold?.(a.sync);
    // Has what is old, for it is acquired before the store.
    t.equal(b.words[0], 0);
    let released = 0;
    a.words[0] = 7;
    a.before = (what) => {
      if (what === 'release' && a.words[0] === 7 && released++ === 0)
        t.not(early?.(c.sync), true, 'nobody has it before what was stored is there');
    };
    const gone = Promise.resolve(letGo(a.sync, held));
    const got = watch(get(b.sync));
    await world.settle();
    await gone;
    await world.settle();
    t.equal(got.error, undefined);
    t.ok(got.done);
    t.ok(released > 0, 'it is released');
    t.equal(b.words[0], 7, 'what was stored before is loaded');
  });

t.test('without a promise', async (t) => {
  const { copies } = new Hosts(t, 2);
  const [a, b] = copies as [Copy, Copy];
  const ways: ((sync: Synchronization) => unknown)[] = [
    (sync) => sync.mutex('m').tryLock(),
    (sync) => sync.semaphore('s').tryAcquire(),
    (sync) => sync.permits('p', { count: 1 }).tryAcquire(),
    (sync) => sync.counter('c').value,
    (sync) => sync.counter('c').add(1),
    (sync) => sync.once('o').done,
  ];
  a.sync.semaphore('s').release();
  await a.sync.once('o').run(() => {});
  for (const [n, way] of ways.entries()) {
    a.words[0] = n + 1;
    a.releaseNow();
    t.not(b.words[0], n + 1);
    t.ok(way(b.sync) !== false);
    t.equal(b.words[0], n + 1, String(way));
  }
});

t.test('a condition, whose waiter has what the mutex protects', async (t) => {
  const { copies, world } = new Hosts(t, 2);
  const [a, b] = copies as [Copy, Copy];
  const waits = watch(
    (async () => {
      using _held = await b.sync.mutex('m').lock();
      b.words[1] = 3;
      while (b.words[0] === 0) await b.sync.condition('c').wait(b.sync.mutex('m'));
      return b.words[0];
    })(),
  );
  await world.settle();
  {
    using _held = await a.sync.mutex('m').lock();
    t.equal(a.words[1], 3, 'what the waiter stored before it gave the mutex back');
    a.words[0] = 9;
    a.sync.condition('c').notify();
  }
  await world.settle();
  t.equal(waits.value, 9);
});

t.test('who does not get to wait takes no notification from others', async (t) => {
  const { copies, world } = new Hosts(t, 3);
  const [a, b, c] = copies as [Copy, Copy, Copy];
  await a.sync.mutex('m').lock();
  let releases = 0;
  // Said first when the mutex is given back: what was released before that was all there.
  a.before = (what) => {
    if (what === 'release' && ++releases === 2) throw refusal('ERR_IVSHMEM_PAGES_LOST');
  };
  await t.rejects(a.sync.condition('c').wait(a.sync.mutex('m')), { code: 'ERR_IVSHMEM_PAGES_LOST' });
  await b.sync.mutex('m').lock();
  const waits = watch(b.sync.condition('c').wait(b.sync.mutex('m')));
  await world.settle();
  c.sync.condition('c').notify();
  await world.settle();
  t.equal(waits.value, true);
});

t.test('stores that are lost with another host', async (t) => {
  const { copies } = new Hosts(t, 2);
  const [a, b] = copies as [Copy, Copy];
  /** Said once. */
  const lose = (copy: Copy, when: 'release' | 'acquire') => {
    copy.before = (what) => {
      if (what !== when) return;
      copy.before = () => {};
      throw refusal('ERR_IVSHMEM_PAGES_LOST');
    };
  };
  const lost = { code: 'ERR_IVSHMEM_PAGES_LOST' };
  const mutex = a.sync.mutex('m');
  const held = await mutex.lock();
  lose(a, 'release');
  t.throws(() => held.release(), lost);
  t.notOk(mutex.held, 'it was let go of');
  t.equal((await b.sync.mutex('m').lock()).abandoned, false);
  b.sync.mutex('m').unlock();

  const permits = (copy: Copy) => copy.sync.permits('p', { count: 1 });
  const tries: [string, () => unknown][] = [
    ['mutex', () => mutex.lock()],
    ['mutex at once', async () => mutex.tryLock()],
    ['reader', () => a.sync.rwlock('r').read()],
    ['writer', () => a.sync.rwlock('r').write()],
    ['semaphore', () => a.sync.semaphore('s', { initial: 1 }).acquire()],
    ['semaphore at once', async () => a.sync.semaphore('s').tryAcquire()],
    ['permit', () => permits(a).acquire()],
    ['permit at once', async () => permits(a).tryAcquire()],
  ];
  for (const [name, attempt] of tries) {
    lose(a, 'acquire');
    await t.rejects(attempt() as Promise<unknown>, lost, name);
  }
  t.ok(b.sync.mutex('m').tryLock(), 'what was had is given back');
  t.ok(b.sync.semaphore('s').tryAcquire());
  t.ok(permits(b).tryAcquire());
  (await b.sync.rwlock('r').write()).release();

  lose(a, 'release');
  await t.rejects(
    a.sync.once('o').run(() => {}),
    lost,
  );
  t.equal(await b.sync.once('o').run(() => {}), true, 'it is not done');
  lose(a, 'acquire');
  t.throws(() => a.sync.counter('c').add(3), lost);
  t.equal(b.sync.counter('c').value, 3n);
});

t.test('who cannot send what it stored is dead to the others', async (t) => {
  const { copies, world } = new Hosts(t, 2);
  const [a, b] = copies as [Copy, Copy];
  const held = await a.sync.mutex('m').lock();
  const other = await a.sync.mutex('n').lock();
  const waits = watch(b.sync.mutex('m').lock());
  const barrier = watch(b.sync.barrier('b', { parties: 2 }).arrive());
  a.sync.barrier('b', { parties: 2 });
  await world.settle();
  a.before = () => {
    throw refusal('ERR_IVSHMEM_PAGES_SILENT');
  };
  t.throws(() => held.release(), { code: 'ERR_IVSHMEM_PAGES_SILENT' });
  await world.settle();
  t.equal((waits.value as Held).abandoned, true);
  t.match(barrier.error, { code: 'ERR_IVSHMEM_BARRIER_BROKEN' });
  t.throws(() => other.release(), { code: 'ERR_IVSHMEM_SYNC_GONE', message: /did not come in time/ });
  t.throws(() => a.sync.mutex('m').tryLock(), { code: 'ERR_IVSHMEM_SYNC_GONE' });
  t.equal((await b.sync.mutex('n').lock()).abandoned, true);
});

t.test('who closes before it has released leaves it to others to find out', async (t) => {
  const { copies, world, kill } = new Hosts(t, 2);
  const hosts = { copies, world, kill };
  const [a, b] = hosts.copies as [Copy, Copy];
  await a.sync.mutex('m').lock();
  const waits = watch(b.sync.mutex('m').lock());
  a.sync.close({ unseen: true });
  await world.settle();
  t.notOk(waits.done, 'its stores may be under way');
});

t.test('the heap, whose hosts die with some of what they stored released', (t) => {
  const seed = testSeed();
  t.comment(`IVSHMEM_TEST_SEED=${seed}`);
  const random = new Random(seed);
  let died = 0;
  for (let round = 0; round < 300; round++) {
    const world = new World();
    const master = new Master(BYTES);
    const [one, two] = [world.join(1), world.join(2)];
    const [a, b] = [new Copy(one, master), new Copy(two, master)];
    const heap = new Heap({ buffer: a.words.buffer as ArrayBuffer }, a.sync);
    const pieces = Array.from({ length: 12 }, () => heap.alloc(16 + random.below(6000)));
    for (const piece of pieces) if (random.oneIn(2)) heap.free(pieces.splice(pieces.indexOf(piece), 1)[0]!);
    heap.root = pieces[0] ?? 0;
    const { usedBlocks: was } = heap.check();
    // Another member of this host releases at that moment; then the host is gone, with the rest.
    let left = random.below(5);
    a.before = (what) => {
      if (what !== 'release' || left-- > 0) return;
      const some = random.bits();
      a.merge((page) => ((some >>> (page % 32)) & 1) === 1);
      died++;
      throw refusal('ERR_IVSHMEM_PAGES_SILENT');
    };
    try {
      if (random.oneIn(2) && pieces.length > 0) heap.free(random.pick(pieces));
      else heap.alloc(16 + random.below(3000));
    } catch (error) {
      t.match(error, { code: 'ERR_IVSHMEM_PAGES_SILENT' });
    }
    const other = new Heap({ buffer: b.words.buffer as ArrayBuffer }, b.sync);
    const { usedBlocks } = other.check();
    if (Math.abs(usedBlocks - was) > 1) t.fail(`${was} blocks became ${usedBlocks}`);
    if (other.root !== (pieces[0] ?? 0)) t.fail('the root');
    a.sync.close();
    b.sync.close();
    world.end();
  }
  t.ok(died > 100, `${died} died`);
  t.end();
});
