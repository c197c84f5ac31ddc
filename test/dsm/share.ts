/** Threads of a process that use one space, each by itself, and block. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { attachSpace, type Held, openSpace, type SpaceShare } from '../../src/dsm/index.ts';
import { SpreadSpace } from '../../src/dsm/spread/space.ts';
import { createServer } from '../../src/host/index.ts';
import { open } from '../../src/index.ts';
import { until } from '../support/protocol/until.ts';
import { BEGUN, Hand } from './support/share-workers.ts';

t.setTimeout(180_000);

const PROGRAM = fileURLToPath(new URL('./support/share-program.ts', import.meta.url));
let scenes = 0;

async function scene(t: Pick<Test, 'teardown'>, slots?: number) {
  const socket = `@ivshmem-share-${process.pid}-${++scenes}`;
  const server = await createServer({ regions: [{ name: 'r', socket, size: '16M', slots }] });
  const region = await open({ socket, name: 'test' });
  const space = await openSpace(region, 'work', { size: 1 << 20 });
  const hands: Hand[] = [];
  const children: ChildProcess[] = [];
  t.teardown(async () => {
    for (const hand of hands) await hand.end();
    for (const child of children) child.kill('SIGKILL');
    await region.close();
    await server.close();
  });
  const hand = async () => {
    const one = await Hand.start(space.share());
    hands.push(one);
    return one;
  };
  const start = (...args: (string | number)[]) => {
    const child = spawn(process.execPath, ['--import', 'tsx', PROGRAM, socket, ...args.map(String)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    return { child, ended: once(child, 'close') };
  };
  return { region, space, words: new Int32Array(space.buffer), hand, start };
}

/** For most tests: two threads beside this one. */
const common = await scene(t);
const [one, two] = [await common.hand(), await common.hand()];

t.test('stores of a worker are seen by all', async (t) => {
  const { words, start } = common;
  const worker = one;
  await worker.ask('store', 5, 7);
  t.equal(words[5], 7);
  Atomics.store(words, 6, 8);
  t.equal(await worker.ask('load', 6), 8);
  await worker.ask('store', 9, 1);
  t.same(await start('store', 9, 99).ended, [0, null], 'another process has seen the store');
  t.equal(await worker.ask('load', 9), 99);
});

t.test('two processes with two workers each, and this thread, exclude each other', async (t) => {
  const { space, words, start } = common;
  const [ROUNDS, OWN] = [200, 100];
  const { ended } = start('count', 2, ROUNDS);
  const here = Promise.all([one.ask('count', ROUNDS), two.ask('count', ROUNDS)]);
  const mutex = space.mutex('count');
  for (let round = 0; round < OWN; round++) {
    using _held = await mutex.lock();
    const value = words[0]!;
    await new Promise((resolve) => setImmediate(resolve));
    words[0] = value + 1;
  }
  t.same(await here, [undefined, undefined]);
  t.same(await ended, [0, null]);
  t.equal(words[0], 4 * ROUNDS + OWN);
});

t.test(
  'a worker gets a lock of another process while the thread that opened the space is busy',
  async (t) => {
    const { words, start } = common;
    const { child, ended } = start('hold', 20);
    await once(child.stdout!, 'data');
    const done = one.ask('lockAndStore', 'busy', 21);
    const deadline = Date.now() + 60_000;
    // Nothing of this thread's event loop runs until then.
    Atomics.store(words, 20, 1);
    while (Atomics.load(words, 21) === 0 && Date.now() < deadline);
    t.equal(Atomics.load(words, 21), 1);
    await done;
    t.same(await ended, [0, null]);
  },
);

t.test('timeouts are values', async (t) => {
  const { space } = common;
  const worker = one;
  const held = await space.mutex('m').lock();
  t.equal(await worker.ask('lock', 'm', 30), null);
  const waits = worker.ask('lock', 'm');
  held.release();
  t.equal(await waits, false, 'it is not abandoned');
  t.equal(await space.mutex('m').lock({ timeout: 30 }), undefined);
  t.equal(await worker.ask('lock', 'm'), 'ERR_IVSHMEM_SYNC_ITSELF');
  await worker.ask('unlock', 'm');
  using last = await space.mutex('m').lock();
  t.equal(last.abandoned, false);
});

t.test('a thread that ends leaves what it held, and what it waited for', async (t) => {
  const { space, words, hand, start } = await scene(t);
  const [owner, waiter, last] = [await hand(), await hand(), await hand()];
  t.equal(await owner.ask('lock', 'm'), false);
  const waits = space.mutex('m').lock();
  const blocked = waiter.ask('lock', 'm');
  await until('both to have begun', () => Atomics.load(words, BEGUN) === 2);
  await owner.end();
  // Whichever was chosen: the one goes away with it, or had not got it yet.
  const chosen = await Promise.race([waits, blocked]);
  if (typeof chosen === 'object') t.equal((chosen as Held).abandoned, true);
  else t.equal(chosen, true);
  await waiter.end();
  const held = await waits;
  const third = last.ask('lock', 'm');
  held.release();
  t.equal(await third, false);
  const { child } = start('leave');
  await once(child.stdout!, 'data');
  t.notOk(space.mutex('left').tryLock(), 'a thread of another process has it');
  const left = space.mutex('left').lock();
  child.kill('SIGKILL');
  t.equal((await left).abandoned, true);
});

t.test('closing the space cuts threads off: zeros, then no buffer, and errors where they wait', async (t) => {
  const { region, space, words, hand } = await scene(t);
  const [holder, waiter, reader] = [await hand(), await hand(), await hand()];
  const stale = space.share();
  words.fill(7);
  t.equal(await holder.ask('lock', 'm'), false);
  const waits = waiter.ask('lock', 'm');
  const counts = reader.ask('reach', 'n', 1);
  // Later they would hear of the end before they wait: ERR_IVSHMEM_SYNC_CLOSED.
  await until('both to have begun', () => Atomics.load(words, BEGUN) === 7 + 3);
  await space.close();
  t.equal(await waits, 'ERR_IVSHMEM_CLOSED');
  t.equal(await counts, 'ERR_IVSHMEM_CLOSED');
  const next = await openSpace(region, 'next', { size: 1 << 20 });
  for (const one of [holder, waiter, reader]) {
    await one.ask('store', 0, 5);
    t.same(await one.ask('state'), { length: 0, closed: true });
  }
  t.ok(
    new Int32Array(next.buffer).every((word) => word === 0),
    'nobody writes to what is others’ now',
  );
  t.throws(() => attachSpace(stale), { code: 'ERR_IVSHMEM_SHARE' });
  const again = await openSpace(region, 'work', { size: 1 << 20 });
  t.equal((await again.mutex('m').lock()).abandoned, false, 'the space is another one');
});

t.test('all kinds', async (t) => {
  const { space, words } = common;

  t.equal(await one.ask('read', 'rw'), false);
  t.equal(await two.ask('read', 'rw'), false);
  t.equal(await two.ask('write', 'rw', 10), 'ERR_IVSHMEM_SYNC_ITSELF');
  const writes = space.rwlock('rw').write();
  await one.ask('unlock', 'rw');
  await two.ask('unlock', 'rw');
  const write = await writes;
  t.equal(await one.ask('read', 'rw', 20), null);
  t.equal(await one.ask('write', 'rw', 20), null);
  const reads = [one.ask('read', 'rw'), two.ask('write', 'rw')];
  write.release();
  t.equal(await Promise.race(reads), false);
  await Promise.all(reads.map((read, n) => read.then(() => [one, two][n]!.ask('unlock', 'rw'))));

  const semaphore = space.semaphore('s');
  t.equal(await one.ask('acquire', 's', 10), false);
  const acquires = [one.ask('acquire', 's'), two.ask('acquire', 's')];
  semaphore.release(2);
  t.same(await Promise.all(acquires), [true, true]);

  t.equal(await one.ask('permit', 'p', 2), false);
  t.equal(await two.ask('permit', 'p', 2), false);
  const permit = space.permits('p', { count: 2 }).acquire();
  await one.ask('unlock', 'p');
  t.equal((await permit).abandoned, false);

  const reach = one.ask('reach', 'n', 3);
  space.counter('n').add(3);
  t.equal(await reach, 3);

  const meets = [
    one.ask('arrive', 'b', 3),
    two.ask('arrive', 'b', 3),
    space.barrier('b', { parties: 3 }).arrive(),
  ];
  t.same(await Promise.all(meets), [true, true, true]);
  t.equal(await one.ask('arrive', 'b', 3, 20), false);

  const runs = await Promise.all([
    one.ask('once', 'o'),
    two.ask('once', 'o'),
    space.once('o').run(() => space.counter('ran').add()),
  ]);
  t.equal(runs.filter((ran) => ran === true).length, 1);
  t.equal(space.counter('ran').value, 1n);

  const waits = one.ask('waitFor', 'c');
  await until('the worker to wait', () => Atomics.load(words, 1) === 1);
  {
    using _held = await space.mutex('guard').lock();
    space.condition('c').notify();
  }
  t.same(await waits, { woken: true, held: true });
  t.same(await one.ask('waitFor', 'c', 10), { woken: false, held: true });

  t.ok((await one.ask('alloc', 100)) !== (await two.ask('alloc', 100)), 'the heap is theirs too');
});

t.test('promises in a worker', async (t) => {
  const { space } = common;
  const held = await space.mutex('async').lock();
  const waits = one.ask('lockAsync', 'async');
  held.release();
  t.equal(await waits, false);
  const next = two.ask('lockAsync', 'async');
  await one.ask('unlock', 'async');
  t.equal(await next, false);
});

t.test('a barrier is broken by a thread that ends', async (t) => {
  const { space } = common;
  t.equal(await two.ask('arrive', 'late', 3, 5), false);
  const waits = [one.ask('arrive', 'late', 3), space.barrier('late', { parties: 3 }).arrive()];
  const refused = t.rejects(waits[1]!, { code: 'ERR_IVSHMEM_BARRIER_BROKEN' });
  await two.end();
  t.equal(await waits[0], 'ERR_IVSHMEM_BARRIER_BROKEN');
  await refused;
});

t.test('who may block, and who may attach', async (t) => {
  const { space } = await scene(t, 254);
  t.throws(() => space.mutex('m').lockSync(), { code: 'ERR_IVSHMEM_SYNC_BLOCKS' });
  const share = space.share();
  t.equal(space.share(), share, 'it is the same for all');
  const careful = attachSpace(share);
  t.throws(() => careful.mutex('m').lockSync(), { code: 'ERR_IVSHMEM_SYNC_BLOCKS' });
  const bold = attachSpace(structuredClone(share), { mayBlock: true });
  {
    using held = bold.mutex('m').lockSync();
    t.notOk(held.abandoned);
    t.notOk(careful.mutex('m').tryLock(), 'they are two');
    t.notOk(space.mutex('m').tryLock());
  }
  t.throws(() => attachSpace(share), { code: 'ERR_IVSHMEM_SHARE' }, '254 slots leave room for two');
  careful.close();
  careful.close();
  t.throws(() => careful.mutex('m'), { code: 'ERR_IVSHMEM_SYNC_CLOSED' });
  attachSpace(share).close();
  bold.close();
  t.throws(() => attachSpace({ ...share, token: 'x' }), { code: 'ERR_IVSHMEM_SHARE' });
  t.throws(() => attachSpace({} as SpaceShare), { code: 'ERR_IVSHMEM_SHARE' });
  t.throws(() => SpreadSpace.prototype.share.call({ name: 'spread' }), { code: 'ERR_IVSHMEM_SHARE' });
});
