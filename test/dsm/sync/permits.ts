import t from 'tap';
import { endWorlds, interleave, type Member, World, watch } from '../support/world.ts';

t.teardown(endWorlds);

const permits = (member: Member, count = 2) => member.sync.permits('p', { count });

t.test('so many at a time', async (t) => {
  const world = new World();
  const [a, b, c] = [world.join(1), world.join(2), world.join(3)];
  t.throws(() => permits(a, 13), { code: 'ERR_IVSHMEM_SYNC_PARAMETER' });
  const [one, two] = [await permits(a).acquire(), await permits(b).acquire()];
  t.throws(() => permits(c, 3), { code: 'ERR_IVSHMEM_SYNC_PARAMETER' });
  t.equal(permits(c).tryAcquire(), undefined);
  t.equal(await permits(c).acquire({ timeout: 1 }), undefined);
  const abort = new AbortController();
  const given = watch(permits(c).acquire({ signal: abort.signal }));
  const waits = [c, a].map((member) => watch(permits(member).acquire()));
  abort.abort();
  await world.settle();
  t.ok(given.error);
  two.release();
  two.release();
  await world.settle();
  t.equal(waits.filter(({ done }) => done).length, 1, 'released once');
  one.release();
  await world.settle();
  t.ok(waits.every(({ value }) => value?.abandoned === false));
  t.equal(permits(b).free, 0);
});

t.test('what the dead had comes back, and whoever gets it is told', async (t) => {
  const world = new World();
  const [a, b] = [world.join(1), world.join(2)];
  await permits(a).acquire();
  await permits(a).acquire();
  const waits = [1, 2, 3].map(() => watch(permits(b).acquire()));
  await world.settle();
  world.kill(a);
  await world.settle();
  t.same(
    waits.map(({ value }) => value?.abandoned),
    [true, true, undefined],
  );
  const c = world.join(1);
  t.equal(permits(c).free, 0, 'the next in that slot has nothing of it');
  b.sync.close();
  t.equal(permits(c).free, 2, 'nor does anybody who closed the space');
});

t.test('no wake-up is lost, and no permit, wherever one dies or another comes between', async (t) => {
  const deeds = {
    'the owner dies as it releases': { dies: true, releases: true },
    'the waiter dies as it begins to wait': { dies: true, releases: false },
    'one releases as another begins to wait': { dies: false, releases: false },
  };
  for (const [name, { dies, releases }] of Object.entries(deeds))
    for (let step = 0; ; step++) {
      const world = new World();
      const [a, b, c] = [world.join(1), world.join(2), world.join(3)];
      const one = permits(a, 1).tryAcquire()!;
      permits(b, 1);
      const last = watch(permits(c, 1).acquire());
      await world.settle();
      let other: ReturnType<typeof watch<unknown>> | undefined;
      const begin = (): void => {
        other = watch(permits(b, 1).acquire());
      };
      const reached = releases
        ? interleave(
            a,
            step,
            () => one.release(),
            () => world.kill(a),
          )
        : interleave(b, step, begin, () => (dies ? world.kill(b) : one.release()));
      if (!releases && !(reached && !dies)) one.release();
      await world.settle();
      // Whoever of the two has it gives it on.
      if (!last.done) (other?.value as { release(): void } | undefined)?.release();
      await world.settle();
      t.ok(last.done, `${name}, step ${step}`);
      last.value?.release();
      await world.settle();
      if (other !== undefined && !b.dead) t.ok(other.done, `and the other one, step ${step}`);
      world.end();
      if (!reached) break;
    }
});
