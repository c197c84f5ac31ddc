/** What processes show each other of what they store in a space: the litmus tests of sequential consistency. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { openSpace } from '../../../src/dsm/index.ts';
import { createServer } from '../../../src/host/index.ts';
import { open } from '../../../src/index.ts';
import { unseen, WORK_BYTES } from '../../vm/support/litmus.ts';
import { disagreed, incoherent, LITMUS_BYTES, ROUNDS, writeLog } from '../support/litmus.ts';

t.setTimeout(240_000);

const PROGRAM = fileURLToPath(new URL('../support/litmus-program.ts', import.meta.url));

/** Runs members to their end; the words of the space, and what each printed. */
async function play(t: Test, test: string, members: number, size: number) {
  const socket = `@ivshmem-litmus-${test}-${process.pid}`;
  const server = await createServer({ regions: [{ name: 'r', socket, size: '8M' }] });
  t.teardown(() => server.close());
  const region = await open({ socket, name: 'test' });
  t.teardown(() => region.close());
  const space = await openSpace(region, 'litmus', { size });
  const outputs = await Promise.all(
    Array.from({ length: members }, async (_, number) => {
      const args = ['--import', 'tsx', PROGRAM, socket, test, String(number)];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      t.teardown(() => void child.kill('SIGKILL'));
      let output = '';
      child.stdout.on('data', (data) => {
        output += data;
      });
      t.same(await once(child, 'close'), [0, null], `member ${number}`);
      return output;
    }),
  );
  return { words: new Int32Array(space.buffer), outputs };
}

t.test('store buffering and message passing', async (t) => {
  const { words, outputs } = await play(t, 'pair', 2, WORK_BYTES);
  t.same(outputs, ['0\n', '0\n'], 'who sees the flag sees the words');
  t.strictSame(unseen(words), { neither: 0, missing: 0 }, 'one of two sees the other');
});

t.test('independent reads of independent writes, and coherence', async (t) => {
  const { words } = await play(t, 'four', 4, LITMUS_BYTES);
  t.strictSame(disagreed(words), { differently: 0, missing: 0 }, 'all see stores in one order');
  const { seen, ...wrong } = incoherent(words);
  t.strictSame(wrong, { backwards: 0, crossed: 0 }, 'and those to one place');
  for (const count of seen)
    t.ok(count >= ROUNDS, `${count} values were seen, at least the last of each round`);
});

t.test('what would be wrong is found', async (t) => {
  const words = new Int32Array(LITMUS_BYTES / 4);
  t.strictSame(disagreed(words), { differently: 0, missing: ROUNDS });
  words.fill(1);
  t.match(disagreed(words), { differently: ROUNDS }, 'neither reader saw the other store');
  const seen = (...logs: [number[], number[]]) => {
    for (const [reader, log] of logs.entries()) writeLog(words, reader, log);
    return incoherent(words);
  };
  t.strictSame(seen([2, 3, 4], [2, 4]), { backwards: 0, crossed: 0, seen: [3, 2] });
  t.match(seen([2, 3, 4], [4, 3]), { backwards: 0, crossed: 1 }, 'in another order than the other reader');
  t.match(seen([2, 6, 4], [2]), { backwards: 1, crossed: 0 }, 'in another order than they were stored in');
});
