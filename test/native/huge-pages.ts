import { closeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import t from 'tap';
import { binding } from '../../src/native/binding.ts';
import { hugeMapped } from '../support/huge-mapped.ts';

const BLOCK = 2 << 20;
const NAME = 'huge-pages-test';

async function unable(): Promise<string | false> {
  const fd = binding.createMemfd(NAME, BLOCK, true, false);
  const errno = await binding.collapsePages(fd, 0, BLOCK);
  closeSync(fd);
  return errno !== 0 && `this kernel makes no huge pages of a memfd: ${getSystemErrorName(-errno)}`;
}

t.test(
  'what a file holds goes into huge pages, under those who look at it',
  { skip: await unable() },
  async (t) => {
    const fd = binding.createMemfd(NAME, 4 * BLOCK, true, false);
    const whole = binding.mapFile(fd, 0, 4 * BLOCK, true);
    const words = new Int32Array(whole.buffer);
    for (let at = 0; at < words.length; at += 1 << 18) words[at] = at + 1;
    // Begins in the middle of a block, and ends there.
    const part = binding.mapFile(fd, BLOCK + 4096, 2 * BLOCK, true);
    const errno = await binding.collapsePages(fd, BLOCK, 2 * BLOCK);
    t.equal(errno, 0);
    for (let at = 0; at < words.length; at += 1 << 18) t.equal(words[at], at + 1, `word ${at}`);
    t.equal(new Int32Array(part.buffer, BLOCK - 4096)[0], BLOCK / 2 + 1);
    t.equal(hugeMapped(NAME), 3 * BLOCK, 'two blocks of one mapping, and the one that is whole in the other');
    t.equal(await binding.collapsePages(fd, BLOCK, BLOCK), 0, 'it may be asked for again');
    binding.punchHole(fd, BLOCK, 4096);
    t.equal(words[BLOCK / 4], 0, 'a hole is one, also in a huge page');
    t.equal(words[BLOCK / 4 + (1 << 18)], BLOCK / 4 + (1 << 18) + 1);
    closeSync(fd);
    part.close();
    whole.close();
  },
);

t.test('the descriptor may be closed meanwhile', async (t) => {
  const fd = binding.createMemfd(NAME, BLOCK, true, false);
  const pending = binding.collapsePages(fd, 0, BLOCK);
  closeSync(fd);
  t.type(await pending, 'number');
});

t.test('what makes no sense', async (t) => {
  const fd = binding.createMemfd(NAME, BLOCK, true, false);
  t.throws(() => binding.collapsePages(fd, 4096, BLOCK), RangeError);
  t.throws(() => binding.collapsePages(fd, 0, 4096), RangeError);
  t.throws(() => binding.collapsePages(fd, BLOCK, BLOCK), RangeError, 'beyond the end');
  t.throws(() => binding.collapsePages(-1, 0, BLOCK), RangeError);
  closeSync(fd);
  t.throws(() => binding.collapsePages(fd, 0, BLOCK), { code: 'EBADF' });
});
