import t from 'tap';
import { IovaAllocator, parseReservedRegions } from '../../src/vfio/iova.ts';

const MIB = 1 << 20;

t.test('first fit in whole pages, and reuse of what was freed', async (t) => {
  const iova = new IovaAllocator();
  t.equal(iova.allocate(1), MIB);
  t.equal(iova.allocate(8192), MIB + 4096);
  t.equal(iova.allocate(4096), MIB + 3 * 4096);
  iova.free(MIB + 4096, 8192);
  t.equal(iova.allocate(4097), MIB + 4096);
  iova.free(MIB, 1);
  t.equal(iova.allocate(8192), MIB + 4 * 4096, 'the gap is too small');
  t.equal(iova.allocate(4096), MIB);
});

t.test('stays below a limit and out of reserved ranges', async (t) => {
  const iova = new IovaAllocator(32);
  iova.reserve({ start: MIB + 100, end: 0xfee00001 });
  iova.reserve({ start: 0xfee00000, end: 0xfef00000 });
  t.equal(iova.allocate(4096), 0xfef00000);
  t.equal(iova.allocate(4096, 0xfef01000), undefined);
  t.equal(iova.allocate(2 ** 32), undefined);
});

t.test('claims an address only when it is free', async (t) => {
  const iova = new IovaAllocator(32);
  t.equal(iova.claim(0x4000, 4096), true);
  t.equal(iova.claim(0x3000, 8192), false);
  t.equal(iova.claim(-4096, 4096), false);
  t.equal(iova.claim(2 ** 32 - 4096, 8192), false);
});

t.test('random traffic never hands out an address twice', async (t) => {
  const iova = new IovaAllocator(28);
  const live = new Map<number, number>();
  let seed = 12345;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
  let handed = 0;
  for (let n = 0; n < 3000; n++) {
    if (random(2) === 0 && live.size > 0) {
      const [start, bytes] = [...live][random(live.size)]!;
      iova.free(start, bytes);
      live.delete(start);
      continue;
    }
    const bytes = (1 + random(64)) * 4096;
    const start = iova.allocate(bytes);
    if (start === undefined) continue;
    handed++;
    for (const [other, length] of live)
      if (start < other + length && other < start + bytes) t.fail(`0x${start.toString(16)} overlaps`);
    live.set(start, bytes);
  }
  t.ok(handed > 1000);
});

t.test('reads reserved_regions as the kernel writes it', async (t) => {
  const text =
    '0x0000000000000000 0x0000000000ffffff direct-relaxable\n0x00000000fee00000 0x00000000feefffff msi\nrubbish\n';
  t.same(parseReservedRegions(text), [
    { start: 0, end: 0x1000000 },
    { start: 0xfee00000, end: 0xfef00000 },
  ]);
  t.same(parseReservedRegions(''), []);
});
