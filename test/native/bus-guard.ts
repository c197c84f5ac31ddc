import { spawnSync } from 'node:child_process';
import { closeSync, openSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { binding, type Mapping } from '../../src/native/binding.ts';
import { testFolder } from '../support/test-folder.ts';

const PAGE = 4096;
const fixture = fileURLToPath(new URL('fixtures/bus-error.ts', import.meta.url));

function mapFile(path: string, pages: number): Mapping {
  writeFileSync(path, Buffer.alloc(pages * PAGE, 7));
  const fd = openSync(path, 'r+');
  try {
    return binding.mapFile(fd, 0, pages * PAGE, true);
  } finally {
    closeSync(fd);
  }
}

t.test('memory that is gone reads as zeros and takes stores', async (t) => {
  const path = join(testFolder(t), 'memory');
  const mapping = mapFile(path, 4);
  mapping.guard();
  mapping.guard();
  const words = new Int32Array(mapping.buffer);
  t.equal(words[0], 0x07070707, 'nothing changes while it is there');
  truncateSync(path, PAGE);
  t.equal(words[1], 0x07070707, 'a page that is left');
  t.equal(Atomics.load(words, PAGE / 2), 0, 'one that is gone');
  t.equal(words[1], 0, 'then all of it');
  words[3 * (PAGE / 4)] = 9;
  t.equal(Atomics.add(words, 3 * (PAGE / 4), 1), 9);
  mapping.revoke();
  t.equal(words[3 * (PAGE / 4)], 0);
  mapping.close();
  mapping.guard();
});

/** More than there are places for (kRanges in native/bus_guard.cc). */
const MANY = 1100;

t.test('places come back, and there is an end to them', async (t) => {
  const path = join(testFolder(t), 'memory');
  for (let round = 0; round < MANY; round++) {
    const mapping = mapFile(path, 1);
    mapping.guard();
    mapping.close();
  }
  const held: Mapping[] = [];
  const more = (): void => {
    for (let i = 0; i < MANY; i++) {
      held.push(mapFile(path, 1));
      held.at(-1)!.guard();
    }
  };
  t.throws(more, { code: 'ENOSPC' });
  for (const mapping of held) mapping.close();
});

/** A process with a guarded mapping: how it ended, and what it said before. */
function run(t: Test, how: string): { signal: string | null; stdout: string } {
  const args = ['--import', 'tsx', fixture, join(testFolder(t), 'memory'), how];
  const env = { ...process.env, NODE_OPTIONS: '' };
  const { signal, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000, env });
  return { signal, stdout };
}

t.test('every other SIGBUS ends the process as before', async (t) => {
  t.strictSame(run(t, 'unguarded'), { signal: 'SIGBUS', stdout: 'guarded 0\n' });
  t.strictSame(run(t, 'sent'), { signal: 'SIGBUS', stdout: 'guarded 0\n' });
});

t.test('in a worker thread', async (t) => {
  t.strictSame(run(t, 'worker'), { signal: null, stdout: 'guarded 0\n' });
});
