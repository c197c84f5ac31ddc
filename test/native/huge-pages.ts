import { closeSync } from 'node:fs';
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
