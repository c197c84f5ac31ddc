import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import t from 'tap';
import { binding, type Mapping } from '../../src/native/binding.ts';
import { hugeMapped } from '../support/huge-mapped.ts';

const BLOCK = 2 << 20;
const NAME = 'huge-pages-test';

function mapped(blocks: number): { fd: number; mapping: Mapping } {
  const fd = binding.createMemfd(NAME, blocks * BLOCK, true, false);
  return { fd, mapping: binding.mapFile(fd, 0, blocks * BLOCK, true) };
}

async function unable(): Promise<string | false> {
  const { fd, mapping } = mapped(1);
  const errno = await binding.collapsePages(mapping.buffer, 0, BLOCK);
  mapping.close();
  closeSync(fd);
  return errno !== 0 && `this kernel makes no huge pages of a memfd: ${getSystemErrorName(-errno)}`;
}

t.test(
  'what a file holds goes into huge pages, under those who look at it',
  { skip: await unable() },
  async (t) => {
    const { fd, mapping: whole } = mapped(4);
    const words = new Int32Array(whole.buffer);
    for (let at = 0; at < words.length; at += 1 << 18) words[at] = at + 1;
    // Begins in the middle of a block, and ends there.
    const part = binding.mapFile(fd, BLOCK + 4096, 2 * BLOCK, true);
    const errno = await binding.collapsePages(whole.buffer, BLOCK, 2 * BLOCK);
    t.equal(errno, 0);
    for (let at = 0; at < words.length; at += 1 << 18) t.equal(words[at], at + 1, `word ${at}`);
    t.equal(new Int32Array(part.buffer, BLOCK - 4096)[0], BLOCK / 2 + 1);
    t.equal(hugeMapped(NAME), 3 * BLOCK, 'two blocks of one mapping, and the one that is whole in the other');
    t.equal(await binding.collapsePages(whole.buffer, BLOCK, BLOCK), 0, 'it may be asked for again');
    binding.punchHole(fd, BLOCK, 4096);
    t.equal(words[BLOCK / 4], 0, 'a hole is one, also in a huge page');
    t.equal(words[BLOCK / 4 + (1 << 18)], BLOCK / 4 + (1 << 18) + 1);
    closeSync(fd);
    part.close();
    whole.close();
  },
);

t.test('all may be closed meanwhile', async (t) => {
  const { fd, mapping } = mapped(1);
  const { buffer } = mapping;
  const pending = binding.collapsePages(buffer, 0, BLOCK);
  mapping.close();
  closeSync(fd);
  t.equal(buffer.byteLength, 0);
  t.type(await pending, 'number');
});

/** A memfd on pages of 1 GiB, which another server may share; none of them has to be there. */
const GIGANTIC = `
import os, sys
fd = os.memfd_create("gigantic", os.MFD_HUGETLB | os.MFD_HUGE_1GB)
os.ftruncate(fd, 1 << 30)
print(fd, flush=True)
sys.stdin.read()
`;

t.test('a file on pages of 1 GiB is mapped at an address that they can have', async (t) => {
  const child = spawn('python3', ['-c', GIGANTIC], { stdio: ['pipe', 'pipe', 'ignore'] });
  child.on('error', () => {});
  t.teardown(() => child.kill());
  const made = await new Promise<Buffer | null>((resolve) => {
    child.stdout.once('data', resolve);
    child.once('close', () => resolve(null));
  });
  if (made === null) {
    t.pass('', { skip: 'no python3 here, or a processor without such pages' });
    return;
  }
  const fd = openSync(`/proc/${child.pid}/fd/${Number(made)}`, 'r+');
  try {
    const mapping = binding.mapFile(fd, 0, 1 << 20, true);
    t.equal(mapping.byteLength, 1 << 20);
    mapping.close();
  } catch (error) {
    t.match(error, { code: 'ENOMEM' }, 'none is reserved: nothing else is wrong');
  }
  closeSync(fd);
});

t.test('what makes no sense', async (t) => {
  const { fd, mapping } = mapped(2);
  const { buffer } = mapping;
  t.throws(() => binding.collapsePages(buffer, 4096, BLOCK), RangeError);
  t.throws(() => binding.collapsePages(buffer, 0, 4096), RangeError);
  t.throws(() => binding.collapsePages(buffer, BLOCK, 2 * BLOCK), RangeError, 'beyond the end');
  t.throws(() => binding.collapsePages(new ArrayBuffer(BLOCK), 0, BLOCK), TypeError, 'no mapping');
  const shifted = binding.mapFile(fd, 4096, BLOCK, true);
  t.throws(
    () => binding.collapsePages(shifted.buffer, 0, BLOCK),
    RangeError,
    'blocks of the file are none there',
  );
  for (const each of [shifted, mapping]) each.close();
  t.throws(() => binding.collapsePages(buffer, 0, BLOCK), TypeError, 'a mapping that was closed');
  closeSync(fd);
});
