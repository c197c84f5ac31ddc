import t from 'tap';
import { Random, testSeed } from '../../support/random.ts';
import { endWorlds, interleave, type Member, World, watch } from '../support/world.ts';

t.teardown(endWorlds);

const lock = (member: Member) => member.sync.mutex('m').lock();

t.test('one holds it, the next gets it', async (t) => {
  const world = new World();
  const [a, b] = [world.join(1), world.join(2)];
  const held = await lock(a);
  t.equal(held.abandoned, false);
  t.notOk(b.sync.mutex('m').tryLock());
  const next = watch(lock(b));
  await world.settle();
  t.notOk(next.done);
  held.release();
  held.release();
  t.ok(held.released);
  await world.settle();
  t.ok(next.done);
  next.value![Symbol.dispose]();
  t.ok(a.sync.mutex('m').tryLock());
  a.sync.mutex('m').unlock();
  t.throws(() => a.sync.mutex('m').unlock(), { code: 'ERR_IVSHMEM_SYNC_NOT_HELD' });
});

t.test('uncontended it tells nobody, and is two compare-and-swaps', async (t) => {
  const world = new World();
  const member = world.join(1);
  const mutex = member.sync.mutex('m');
  let steps = 0;
  const both = (): void => {
    mutex.tryLock();
    mutex.unlock();
  };
  while (interleave(member, steps, both, () => {})) steps++;
  t.equal(steps, 2);
  t.equal(world.notifications, 0);
});

t.test('within a process, first come first served', async (t) => {
  const world = new World();
  const member = world.join(1);
  const order: number[] = [];
  await Promise.all(
    [1, 2, 3, 4].map(async (n) => {
      using _held = await lock(member);
      order.push(n);
      await world.settle();
    }),
  );
  t.same(order, [1, 2, 3, 4]);
});

t.test('the owner dies: the next one is told', async (t) => {
  const world = new World();
  const [a, b, c] = [world.join(1), world.join(2), world.join(3)];
  await lock(a);
  const waits = watch(lock(b));
  await world.settle();
  world.kill(a);
  await world.settle();
  t.equal(waits.value?.abandoned, true);
  t.ok(b.sync.mutex('m').abandoned);
  waits.value!.release();
  t.equal((await lock(c)).abandoned, false, 'the one after it is not');
  world.kill(c);
  const d = world.join(3);
  t.ok(d.sync.mutex('m').tryLock(), 'left behind by an earlier member in the same slot');
  t.ok(d.sync.mutex('m').abandoned);
});

t.test('a space that is closed leaves what it held', async (t) => {
  const world = new World();
  const [a, b] = [world.join(1), world.join(2)];
  await lock(a);
  const waits = watch(lock(b));
  const refused = watch(lock(a));
  await world.settle();
  a.sync.close();
  a.sync.close();
  await world.settle();
  t.equal(waits.value?.abandoned, true);
  t.match(refused.error, { code: 'ERR_IVSHMEM_SYNC_CLOSED' });
  t.throws(() => lock(a), { code: 'ERR_IVSHMEM_SYNC_CLOSED' });
});

t.test('waiting ends by time or signal, and loses nobody', async (t) => {
  const world = new World();
  const [a, b, c] = [world.join(1), world.join(2), world.join(3)];
  const held = await lock(a);
  t.equal(await b.sync.mutex('m').lock({ timeout: 1 }), undefined);
  const controller = new AbortController();
  const aborted = watch(b.sync.mutex('m').lock({ signal: controller.signal }));
  const waits = watch(lock(c));
  await world.settle();
  held.release(); // chooses b, which is the next after a
  controller.abort(new Error('enough'));
  await world.settle();
  t.match(aborted.error, { message: 'enough' });
  t.ok(waits.done, 'what b was chosen for went on to c');
  await t.rejects(b.sync.mutex('m').lock({ signal: controller.signal }), { message: 'enough' });
});

t.test('nobody is overtaken for ever', async (t) => {
  const world = new World();
  const [a, b] = [world.join(1), world.join(2)];
  const waits = watch(lock(b));
  await world.settle();
  waits.value!.release();
  let again = await lock(a);
  const late = watch(lock(b));
  let rounds = 0;
  for (; !late.done && rounds < 100; rounds++) {
    again.release();
    const next = a.sync.mutex('m').tryLock();
    await world.settle();
    if (!next) break;
    again = { release: () => a.sync.mutex('m').unlock() } as typeof again;
  }
  t.ok(rounds < 20, `after ${rounds} rounds`);
  t.ok(late.done);
});

t.test('something happens between any two steps', async (t) => {
  // What one member does, and what another does in the middle of it. Afterwards whoever is alive and waits has got it.
  type Scene = { a: Member; b: Member; c: Member; world: World; controller: AbortController };
  const operations: Record<string, (s: Scene) => void> = {
    lock: ({ a }) => void watch(lock(a).then((held) => held.release())),
    tryLock: ({ a }) => void (a.sync.mutex('m').tryLock() && a.sync.mutex('m').unlock()),
    unlock: ({ a }) => a.sync.mutex('m').held && a.sync.mutex('m').unlock(),
    close: ({ a }) => a.sync.close(),
    wake: ({ a }) => void [...a.callbacks].map((call) => call()),
    open: ({ world }) => void world.join(4).sync.mutex('m'),
  };
  const meanwhiles: Record<string, (s: Scene) => void> = {
    'it dies': ({ world, a }) => world.kill(a),
    'another unlocks': ({ b }) => b.sync.mutex('m').held && b.sync.mutex('m').unlock(),
    'another waits': ({ b }) => void watch(lock(b).then((held) => held.release())),
    'another dies': ({ world, b }) => world.kill(b),
    'another takes it': ({ b }) => void (b.sync.mutex('m').tryLock() && b.sync.mutex('m').unlock()),
    'a third gives up': ({ controller }) => controller.abort(),
  };
  const owners = { nobody: undefined, itself: 'a', another: 'b' } as const;
  let tried = 0;
  for (const [o, operation] of Object.entries(operations))
    for (const [m, meanwhile] of Object.entries(meanwhiles))
      for (const [w, owner] of Object.entries(owners))
        for (const hurry of o === 'unlock' && owner === 'a' ? [0, 15] : [0])
          for (let step = 0; ; step++) {
            const world = new World();
            const [a, b, c, d] = [world.join(1), world.join(2), world.join(3), world.join(5)];
            const scene: Scene = { a, b, c, world, controller: new AbortController() };
            for (const one of [a, b, c, d]) one.sync.mutex('m');
            if (owner !== undefined) {
              const mutex = scene[owner].sync.mutex('m');
              mutex.tryLock();
              // The next waited release hands it over.
              for (let n = 0; n < hurry; n++) {
                const early = watch(c.sync.mutex('m').lock({ signal: AbortSignal.timeout(60_000) }));
                mutex.unlock();
                await world.settle();
                early.value?.release();
                mutex.tryLock();
              }
            }
            const gone = watch(c.sync.mutex('m').lock({ signal: scene.controller.signal }));
            const stays = watch(lock(d).then((held) => held.release()));
            const reached = interleave(
              a,
              step,
              () => operation(scene),
              () => meanwhile(scene),
            );
            await world.settle();
            if (!a.dead && a.sync.open && a.sync.mutex('m').held) a.sync.mutex('m').unlock();
            if (!b.dead && b.sync.mutex('m').held) b.sync.mutex('m').unlock();
            await world.settle();
            gone.value?.release();
            await world.settle();
            const free = d.sync.mutex('m').tryLock();
            world.end();
            tried++;
            if (!stays.done) t.fail(`${o}, ${m} at step ${step}, held by ${w}: one waits for ever`);
            if (!free) t.fail(`${o}, ${m} at step ${step}, held by ${w}: not free`);
            if (!reached || step > 40) break;
          }
  t.comment(`${tried} interleavings`);
  t.ok(tried > 500);
});

t.test('members come, lock, give up and die at random', async (t) => {
  const seed = testSeed();
  t.comment(`IVSHMEM_TEST_SEED=${seed}`);
  const random = new Random(seed);
  for (let round = 0; round < 20; round++) {
    const world = new World();
    const members = [1, 2, 3, 4, 5, 6].map((slot) => world.join(slot));
    const inside = new Set<Member>();
    let worst = 0;
    const waits: { member: Member; state: { done: boolean } }[] = [];
    const visit = async (member: Member): Promise<void> => {
      const signal = random.oneIn(4) ? AbortSignal.timeout(random.below(4)) : undefined;
      let held: Awaited<ReturnType<typeof lock>>;
      try {
        held = (await member.sync.mutex('m').lock(signal ? { signal } : {})) as typeof held;
      } catch {
        return;
      }
      if (member.dead) return;
      inside.add(member);
      worst = Math.max(worst, inside.size);
      await new Promise((resolve) => setImmediate(resolve));
      if (member.dead) return;
      inside.delete(member);
      held.release();
    };
    for (let n = 0; n < 60; n++) {
      const place = random.below(members.length);
      const member = members[place]!;
      if (random.oneIn(12)) {
        world.kill(member);
        inside.delete(member);
        members[place] = world.join(member.slot);
      } else waits.push({ member, state: watch(visit(member)) });
      if (random.oneIn(3)) await new Promise((resolve) => setImmediate(resolve));
    }
    await world.settle(random);
    await new Promise((resolve) => setTimeout(resolve, 5));
    await world.settle(random);
    const stuck = waits.filter(({ member, state }) => !member.dead && !state.done);
    t.equal(stuck.length, 0, 'nobody alive waits for ever');
    t.equal(worst, 1, 'never two at a time');
  }
});
