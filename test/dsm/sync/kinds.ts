import t, { type Test } from 'tap';
import { endWorlds, interleave, type Member, World, watch } from '../support/world.ts';

t.teardown(endWorlds);

const members = (world: World, count: number): Member[] =>
  Array.from({ length: count }, (_, n) => world.join(n + 1));

t.test('a name has one kind, and one meaning for all', (t) => {
  const world = new World();
  const [a, b] = members(world, 2) as [Member, Member];
  a.sync.mutex('x');
  t.equal(a.sync.mutex('x'), a.sync.mutex('x'));
  t.throws(() => b.sync.counter('x'), { code: 'ERR_IVSHMEM_SYNC_KIND', message: /a mutex/ });
  t.throws(() => a.sync.counter('x'), { code: 'ERR_IVSHMEM_SYNC_KIND' });
  t.throws(() => b.sync.barrier('b', { parties: 0 }), { code: 'ERR_IVSHMEM_SYNC_PARAMETER' });
  a.sync.barrier('b', { parties: 2 });
  t.throws(() => b.sync.barrier('b', { parties: 3 }), { code: 'ERR_IVSHMEM_SYNC_PARAMETER' });
  t.throws(() => a.sync.semaphore('s', { initial: -1 }), { code: 'ERR_IVSHMEM_SYNC_PARAMETER' });
  for (const name of ['', 'é'.repeat(33), 'a\nb', 'a\0'])
    t.throws(() => a.sync.mutex(name), { code: 'ERR_IVSHMEM_SYNC_NAME' });
  t.ok(a.sync.mutex('é'.repeat(32)));
  for (let n = 3; n < 128; n++) a.sync.once(`n${n}`);
  t.throws(() => b.sync.once('one more'), { code: 'ERR_IVSHMEM_SYNC_FULL' });
  t.ok(b.sync.once('n77'), 'those that are there are found');
  t.end();
});

t.test('two make one name at once; or one dies while it makes it', (t) => {
  for (const dies of [false, true])
    for (let step = 0; ; step++) {
      const world = new World();
      const [a, b] = members(world, 2) as [Member, Member];
      a.sync.mutex('other');
      const reached = interleave(
        a,
        step,
        () => void a.sync.semaphore('s', { initial: 2 }),
        () => {
          if (dies) world.kill(a);
          b.sync.semaphore('s', { initial: 2 }).tryAcquire();
        },
      );
      const c = world.join(3);
      t.equal(c.sync.semaphore('s').value, reached ? 1 : 2, `step ${step}`);
      for (let n = 2; n < 128; n++) c.sync.once(`n${n}`);
      t.throws(() => c.sync.once('one more'), { code: 'ERR_IVSHMEM_SYNC_FULL' }, 'none is lost');
      world.end();
      if (!reached) break;
    }
  t.end();
});

t.test('semaphore', async (t) => {
  const world = new World();
  const [a, b, c] = members(world, 3) as [Member, Member, Member];
  const s = a.sync.semaphore('s', { initial: 1 });
  t.equal(await s.acquire(), true);
  t.notOk(s.tryAcquire());
  t.equal(await b.sync.semaphore('s').acquire({ timeout: 1 }), false);
  const waits = [b, b, c].map((one) => watch(one.sync.semaphore('s').acquire()));
  await world.settle();
  s.release(2);
  await world.settle();
  t.equal(waits.filter(({ done }) => done).length, 2);
  b.sync.semaphore('s').release();
  await world.settle();
  t.ok(waits.every(({ value }) => value === true));
  t.equal(s.value, 0);
  for (const n of [0, -1, 0.5, 2 ** 30]) t.throws(() => s.release(n), { code: 'ERR_IVSHMEM_SYNC_PARAMETER' });
});

t.test('rwlock', async (t) => {
  const world = new World();
  const [a, b, c] = members(world, 3) as [Member, Member, Member];
  const lock = (one: Member) => one.sync.rwlock('l');
  const readers = await Promise.all([a, a, b].map((one) => lock(one).read()));
  const writer = watch(lock(c).write());
  await world.settle();
  const late = watch(lock(a).read());
  await world.settle();
  t.notOk(writer.done);
  t.notOk(late.done, 'who comes after a writer waits');
  readers[0]!.release();
  readers[1]!.release();
  await world.settle();
  t.notOk(writer.done);
  world.kill(b);
  await world.settle();
  t.equal(writer.value?.abandoned, false, 'a dead reader keeps nobody out, and harmed nothing');
  world.kill(c);
  await world.settle();
  t.equal(late.value?.abandoned, true, 'a dead writer may have');
  const d = world.join(3);
  const next = watch(lock(d).write());
  await world.settle();
  late.value!.release();
  await world.settle();
  t.equal(next.value?.abandoned, true);
  next.value!.release();
  t.equal((await lock(a).read()).abandoned, false, 'until a writer has had it');
  t.equal(await lock(d).write({ timeout: 1 }), undefined);
  t.equal((await lock(d).read()).abandoned, false, 'a writer that gave up keeps nobody out');
});

t.test('condition', async (t) => {
  const world = new World();
  const all = members(world, 4);
  let ready = 0;
  const wait = async (one: Member): Promise<void> => {
    const mutex = one.sync.mutex('m');
    using _held = await mutex.lock();
    while (ready === 0) await one.sync.condition('c').wait(mutex);
    ready--;
  };
  const waits = [...all.slice(1), all[1]!].map((one) => watch(wait(one)));
  await world.settle();
  const first = all[0]!;
  for (let n = 1; n <= 2; n++) {
    ready++;
    first.sync.condition('c').notify();
    await world.settle();
    t.equal(waits.filter(({ done }) => done).length, n);
  }
  ready += 2;
  first.sync.condition('c').notifyAll();
  await world.settle();
  t.ok(waits.every(({ done }) => done));
  const held = await first.sync.mutex('m').lock();
  t.equal(await first.sync.condition('c').wait(first.sync.mutex('m'), { timeout: 1 }), false);
  const signal = AbortSignal.timeout(1);
  await t.rejects(first.sync.condition('c').wait(first.sync.mutex('m'), { signal }), {
    name: 'TimeoutError',
  });
  t.ok(first.sync.mutex('m').held, 'the mutex is held after all of it');
  held.release();
  await t.rejects(first.sync.condition('c').wait(first.sync.mutex('m')), {
    code: 'ERR_IVSHMEM_SYNC_NOT_HELD',
  });
});

t.test('barrier', async (t) => {
  const world = new World();
  const [a, b, c] = members(world, 3) as [Member, Member, Member];
  const barrier = (one: Member) => one.sync.barrier('b', { parties: 3 });
  for (let phase = 0; phase < 3; phase++) {
    const waits = [a, b].map((one) => watch(barrier(one).arrive()));
    await world.settle();
    t.notOk(waits.some(({ done }) => done));
    t.equal(await barrier(c).arrive(), true);
    await world.settle();
    t.ok(waits.every(({ value }) => value === true));
  }
  t.equal(await barrier(a).arrive({ timeout: 1 }), false);
  const waits = [a, b].map((one) => watch(barrier(one).arrive()));
  await world.settle();
  t.notOk(waits[0]!.done, 'who gave up does not count');
  world.kill(c);
  await world.settle();
  for (const { error } of waits) t.match(error, { code: 'ERR_IVSHMEM_BARRIER_BROKEN' });
  await t.rejects(barrier(a).arrive(), { code: 'ERR_IVSHMEM_BARRIER_BROKEN' });
  const d = world.join(3);
  t.ok(barrier(d).broken);
  barrier(a).reset();
  const again = [a, b, d].map((one) => watch(barrier(one).arrive()));
  await world.settle();
  t.ok(again.every(({ value }) => value === true));
  const last = watch(barrier(a).arrive());
  await world.settle();
  b.sync.close();
  await world.settle();
  t.match(
    last.error,
    { code: 'ERR_IVSHMEM_BARRIER_BROKEN' },
    'one that closes the space does not come either',
  );
  a.sync.close();
  d.sync.close();
  const fresh = world.join(6);
  t.notOk(barrier(fresh).broken, 'those who come after all have gone begin anew');
});

t.test('counter', async (t) => {
  const world = new World();
  const [a, b] = members(world, 2) as [Member, Member];
  const [x, y] = [a.sync.counter('n'), b.sync.counter('n')];
  const waits = [3, 2, 10].map((least) => watch(y.reach(least)));
  await world.settle();
  t.equal(x.add(), 1n);
  t.equal(x.add(1), 2n);
  await world.settle();
  t.same(
    waits.map(({ value }) => value),
    [undefined, 2n, undefined],
  );
  t.equal(x.set(2n ** 62n), 2n);
  await world.settle();
  t.ok(waits.every(({ done }) => done));
  t.equal(y.value, 2n ** 62n);
  t.equal(x.add(-(2n ** 62n)), 0n);
  t.equal(await y.reach(1, { timeout: 1 }), undefined);
  t.equal(await y.reach(0), 0n);
});

t.test('once', async (t) => {
  const world = new World();
  const [a, b, c] = members(world, 3) as [Member, Member, Member];
  const forever = new Promise<void>(() => {});
  void watch(a.sync.once('o').run(() => forever));
  const runs: string[] = [];
  const [second, third] = [b, c].map((one, n) =>
    watch(one.sync.once('o').run(() => runs.push(`${n}`) && n === 0 && Promise.reject(new Error('no')))),
  ) as [ReturnType<typeof watch<boolean | undefined>>, ReturnType<typeof watch<boolean | undefined>>];
  await world.settle();
  t.same(runs, []);
  t.equal(await b.sync.once('o').run(() => {}, { timeout: 1 }), undefined);
  world.kill(a);
  await world.settle();
  t.same(runs.sort(), third.value === true ? ['0', '1'] : ['1']);
  if (third.value) t.match(second.error, { message: 'no' });
  t.ok(c.sync.once('o').done);
  t.equal(
    await world
      .join(5)
      .sync.once('o')
      .run(() => t.fail('again')),
    false,
  );
});

/** Runs `act` of one member with something of another in every place of it; in the end `settled` has to be true. */
async function everywhere(
  t: Test,
  scenes: Record<
    string,
    (world: World) => {
      actor: Member;
      act: () => void;
      other: Record<string, () => void>;
      settled: () => boolean;
    }
  >,
): Promise<void> {
  let tried = 0;
  for (const [name, scene] of Object.entries(scenes))
    for (const what of Object.keys(scene(new World()).other))
      for (let step = 0; ; step++) {
        const world = new World();
        const { actor, act, other, settled } = scene(world);
        await world.settle();
        const reached = interleave(actor, step, act, other[what]!);
        await world.settle();
        if (!settled()) t.fail(`${name}, ${what} at step ${step}`);
        tried++;
        world.end();
        if (!reached) break;
      }
  t.comment(`${tried} interleavings`);
  t.ok(tried > 20);
}

t.test('something happens between any two steps', (t) =>
  everywhere(t, {
    'a permit is released': (world) => {
      const [a, b, c] = members(world, 3) as [Member, Member, Member];
      const s = (one: Member) => one.sync.semaphore('s');
      for (const one of [a, b, c]) s(one);
      const stop = new AbortController();
      const [first, second] = [watch(s(b).acquire({ signal: stop.signal })), watch(s(c).acquire())];
      let late: { done: boolean } = { done: true };
      return {
        actor: a,
        act: () => s(a).release(),
        other: {
          'one gives up': () => stop.abort(),
          'another comes': () => {
            late = watch(s(b).acquire());
          },
          'another releases': () => s(c).release(),
          'it dies': () => world.kill(a),
          'one that waits dies': () => world.kill(b),
        },
        // No permit lies there while somebody waits.
        settled: () => s(c).value === 0 || ((first.done || b.dead) && second.done && (late.done || b.dead)),
      };
    },
    'a writer comes, or goes': (world) => {
      const [a, b, c] = members(world, 3) as [Member, Member, Member];
      const l = (one: Member) => one.sync.rwlock('l');
      const reader = watch(l(b).read());
      for (const one of [a, c]) l(one);
      const done: { done: boolean; member: Member }[] = [];
      const use = (member: Member, how: 'read' | 'write') =>
        done.push(
          Object.assign(
            watch(
              l(member)
                [how]()
                .then((held) => held.release()),
            ),
            { member },
          ),
        );
      return {
        actor: a,
        act: () => void use(a, 'write'),
        other: {
          'a reader leaves': () => reader.value?.release(),
          'a reader comes': () => void use(c, 'read'),
          'another writer comes': () => void use(c, 'write'),
          'the reader dies': () => world.kill(b),
          'it dies': () => world.kill(a),
        },
        settled: () => {
          const inside = !b.dead && !reader.value?.released;
          if (inside) reader.value?.release();
          return inside || done.every((one) => one.done || one.member.dead);
        },
      };
    },
    'the last party arrives': (world) => {
      const [a, b, c] = members(world, 3) as [Member, Member, Member];
      const barrier = (one: Member) => one.sync.barrier('b', { parties: 2 });
      for (const one of [a, b, c]) barrier(one);
      const waits = [watch(barrier(b).arrive())];
      return {
        actor: a,
        act: () => void waits.push(watch(barrier(a).arrive())),
        other: {
          'it dies': () => world.kill(a),
          'a third dies': () => world.kill(c),
          'a third closes': () => c.sync.close(),
        },
        settled: () => waits[0]!.done,
      };
    },
    'a counter gets there': (world) => {
      const [a, b, c] = members(world, 3) as [Member, Member, Member];
      for (const one of [a, b, c]) one.sync.counter('n');
      const waits = [watch(b.sync.counter('n').reach(1))];
      return {
        actor: a,
        act: () => void a.sync.counter('n').add(),
        other: {
          'another waits': () => void waits.push(watch(c.sync.counter('n').reach(1))),
          'another adds': () => void c.sync.counter('n').add(),
          'it dies': () => world.kill(a),
        },
        settled: () => waits.every(({ done }) => done) || c.sync.counter('n').value < 1n,
      };
    },
    'a wait begins while it comes true': (world) => {
      const [a, b] = members(world, 2) as [Member, Member];
      let ready = false;
      const waits: { done: boolean }[] = [];
      for (const one of [a, b]) one.sync.mutex('m');
      b.sync.condition('c');
      const wait = async (): Promise<void> => {
        while (!ready) await a.sync.condition('c').wait(a.sync.mutex('m'));
        a.sync.mutex('m').unlock();
      };
      a.sync.mutex('m').tryLock();
      a.sync.condition('c');
      // What comes in between happens with the mutex, as it has to: at once, or when it is free.
      const change = () => {
        void b.sync
          .mutex('m')
          .lock()
          .then((held) => {
            ready = true;
            b.sync.condition('c').notify();
            held.release();
          });
      };
      return {
        actor: a,
        act: () => void waits.push(watch(wait())),
        other: { 'another changes it': change },
        settled: () => !ready || waits.every(({ done }) => done),
      };
    },
  }),
);
