import { fileURLToPath } from 'node:url';
import t from 'tap';
import { guestProgram } from '../../qemu/product.ts';
import type { Vm } from '../../qemu/vm.ts';
import { openSpace, removeSpace } from '../../src/dsm/index.ts';
import { open } from '../../src/index.ts';
import { disagreed, incoherent, LITMUS_BYTES } from '../dsm/support/litmus.ts';
import { runToEnd } from '../support/native-build.ts';
import { until } from '../support/protocol/until.ts';
import { Fleet, lastJson } from './support/fleet.ts';
import { unseen, WORK, WORK_BYTES } from './support/litmus.ts';

t.setTimeout(600_000);
const skip = process.getuid?.() === 0 ? false : 'needs root to build the guest image';
const entry = fileURLToPath(new URL('./guest/dsm.ts', import.meta.url));
const program = fileURLToPath(new URL('../dsm/support/litmus-program.ts', import.meta.url));
const COUNTS = 150;

/** Starts the guest program as the user that the device is bound for. */
const start = (vm: Vm, command: string, name: string, argument: string | number = '') =>
  vm.spawn(guestProgram('dsm', command, name, String(argument)), { user: 'app' });

t.test('two VMs and a host process share a space', { skip }, async (t) => {
  const fleet = await Fleet.create(t, 16 << 20, { dsm: entry });
  const [a, b] = await Fleet.together(
    () => fleet.bootBound('a'),
    () => fleet.bootBound('b', 'uio_pci_generic'),
  );
  const region = await open({ socket: fleet.socket, name: 'host' });
  t.teardown(() => region.close());
  const space = await openSpace(region, 'work', { size: WORK_BYTES, persistent: true });
  const words = new Int32Array(space.buffer);
  const mutex = space.mutex('count');

  await t.test('a plain word under a mutex', async (t) => {
    const guests = [start(a!, 'count', 'a', COUNTS), start(b!, 'count', 'b', COUNTS)];
    await Promise.all(guests.map((guest) => guest.waitFor(/"begins":true/)));
    for (let round = 0; round < COUNTS; round++) {
      using _ = await mutex.lock();
      words[WORK.total]!++;
    }
    for (const guest of guests) {
      const { status, stdout, stderr } = await guest.wait();
      t.equal(status, 0, stderr);
      t.match(lastJson(stdout), { counted: COUNTS });
    }
    t.equal(words[WORK.total], 3 * COUNTS, 'no count is lost');
  });

  await t.test('what the processors of two VMs show each other', async (t) => {
    const sides = await Promise.all(
      [start(a!, 'litmus', 'a', 0), start(b!, 'litmus', 'b', 1)].map((guest) => guest.wait()),
    );
    for (const { status, stdout, stderr } of sides) {
      t.equal(status, 0, stderr);
      t.match(lastJson(stdout), { wrong: 0 }, 'who sees the flag sees the words');
    }
    t.strictSame(unseen(words), { neither: 0, missing: 0 }, 'one of two sees the other');
  });

  await t.test(
    'stores of a VM and of a process, seen in one order by another VM and another process',
    async (t) => {
      const litmus = await openSpace(region, 'litmus', { size: LITMUS_BYTES });
      // Those on the host are processes of their own: they spin, and this one has VMs to look after.
      const onHost = (role: number) =>
        runToEnd(process.execPath, ['--import', 'tsx', program, fleet.socket, 'four', String(role)], 300_000);
      const [writer, reader, first, second] = await Promise.all([
        start(a!, 'four', 'a', 0).wait(),
        start(b!, 'four', 'b', 2).wait(),
        onHost(1),
        onHost(3),
      ]);
      for (const { status, stderr } of [writer, reader]) t.equal(status, 0, stderr);
      for (const { code, output } of [first, second]) t.equal(code, 0, output);
      const places = new Int32Array(litmus.buffer);
      t.strictSame(
        disagreed(places),
        { differently: 0, missing: 0 },
        'independent reads of independent writes',
      );
      const { seen, ...wrong } = incoherent(places);
      t.strictSame(
        wrong,
        { backwards: 0, crossed: 0 },
        `coherence, of ${seen.join(' and ')} values that were seen`,
      );
      await litmus.close();
    },
  );

  await t.test('kill -9 in a VM of who holds the mutex', async (t) => {
    const holder = start(a!, 'hold', 'a');
    await holder.waitFor(/"holds":true/);
    t.equal(mutex.tryLock(), false);
    const waiting = mutex.lock();
    holder.kill('SIGKILL');
    const held = await waiting;
    t.equal(held.abandoned, true, 'the next one has it, and is told');
    held.release();
    // Its successor has the same slot, and is somebody else.
    const next = start(a!, 'count', 'a', 1);
    t.match(await next.wait(), { status: 0 });
    t.equal(words[WORK.total], 3 * COUNTS + 1);
  });

  await t.test('a space goes on without a holder', async (t) => {
    await space.close();
    const listed = async (vm: Vm) => JSON.parse(await vm.check('ivshmem dsm status --json'));
    await until('nobody to hold it', async () => (await listed(b!)).spaces[0]?.holders === 0, 180);
    t.match((await listed(a!)).spaces, [{ name: 'work', bytes: WORK_BYTES, persistent: true, holders: 0 }]);
    const again = await openSpace(region, 'work');
    t.equal(new Int32Array(again.buffer)[WORK.total], 3 * COUNTS + 1);
    await again.close();
    t.equal(await removeSpace(region, 'work'), true);
    t.same((await listed(b!)).spaces, []);
  });

  t.strictSame(await fleet.finish(), [], 'no QEMU is left');
});
