/** Members that are processes, on all processors at once, and killed in the middle of it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { openSpace, spaces } from '../../../src/dsm/index.ts';
import { createServer } from '../../../src/host/index.ts';
import { open } from '../../../src/index.ts';
import { until } from '../../support/protocol/until.ts';
import { clear, MEMBERS, OWN, ROOT_BYTES, sum, TABLE, TABLE_PIECES, TOTAL } from '../support/sync-layout.ts';

t.setTimeout(180_000);

const PROGRAM = fileURLToPath(new URL('../support/sync-program.ts', import.meta.url));

async function scene(t: Test) {
  const socket = `@ivshmem-sync-${process.pid}-${t.name.length}`;
  const server = await createServer({ regions: [{ name: 'r', socket, size: '16M' }] });
  const region = await open({ socket, name: 'test' });
  const space = await openSpace(region, 'work', { size: 1 << 20 });
  const heap = space.heap();
  heap.root = heap.alloc(ROOT_BYTES);
  new Uint8Array(space.buffer, heap.root, ROOT_BYTES).fill(0);
  const words = new Int32Array(space.buffer, heap.root, TABLE / 4);
  const children: { child: ChildProcess; output: string; ended: Promise<unknown> }[] = [];
  t.teardown(async () => {
    for (const { child } of children) child.kill('SIGKILL');
    await region.close();
    await server.close();
  });
  const start = (role: string, number: number, rounds: number) => {
    const args = ['--import', 'tsx', PROGRAM, socket, role, String(number), String(rounds)];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const one = { child, output: '', ended: once(child, 'close') };
    child.stdout!.on('data', (data) => {
      one.output += data;
    });
    children.push(one);
    return one;
  };
  // The server, which notices deaths, is in this process: nothing here may stand in its way.
  const alone = () => until('all others to have left', () => spaces(region)[0]?.holders === 1, 60);
  return { space, heap, words, start, alone };
}

t.test('counting under a mutex, with deaths', async (t) => {
  const { space, heap, words, start, alone } = await scene(t);
  const ROUNDS = 1000;
  const workers = [0, 1, 2].map((number) => start('work', number, ROUNDS));
  for (let number = 3; number < 6; number++) {
    const victim = start('hold', number, 0);
    await once(victim.child.stdout!, 'data');
    t.notOk(space.mutex('count').tryLock(), 'it is held');
    victim.child.kill('SIGKILL');
    await victim.ended;
  }
  // One that is killed wherever it happens to be.
  const late = start('work', 6, 1e9);
  while (Atomics.load(words, OWN + 6) < 20) await new Promise((resolve) => setTimeout(resolve, 5));
  late.child.kill('SIGKILL');
  for (const { ended } of workers) t.same(await ended, [0, null]);
  await alone();
  const held = await space.mutex('count').lock();
  if (!held.abandoned) t.equal(words[TOTAL], sum(words), 'the two go together');
  held.release();
  t.same([...words.subarray(OWN, OWN + 6)], [ROUNDS, ROUNDS, ROUNDS, 1, 1, 1]);
  for (let number = 0; number < MEMBERS; number++)
    clear(heap, space.buffer, heap.root + TABLE + number * TABLE_PIECES * 8);
  t.equal(heap.check().usedBlocks, 1, 'no piece was lost with a dead member');
});

t.test('the next owner of a mutex is told, at once', async (t) => {
  const { space, start } = await scene(t);
  const victim = start('hold', 0, 0);
  await once(victim.child.stdout!, 'data');
  const waits = space.mutex('count').lock();
  victim.child.kill('SIGKILL');
  t.equal((await waits).abandoned, true);
});

t.test('meeting at a barrier, until one dies', async (t) => {
  const { space, words, start, alone } = await scene(t);
  const ROUNDS = 200;
  const two = [start('meet', 0, ROUNDS), start('meet', 1, ROUNDS)];
  const victim = start('stay', 2, ROUNDS);
  await Promise.all([...two, victim].map(({ child }) => once(child.stdout!, 'data')));
  while (Atomics.load(words, OWN + 2) < ROUNDS) await new Promise((resolve) => setTimeout(resolve, 5));
  victim.child.kill('SIGKILL');
  for (const { ended } of two) t.same(await ended, [0, null]);
  for (const { output } of two) t.equal(output, 'there\nERR_IVSHMEM_BARRIER_BROKEN\n');
  await alone();
  t.ok(
    space.barrier('meet', { parties: 3 }).broken === false,
    'those who come after all have gone begin anew',
  );
});
