import t from 'tap';
import { DataRing } from '../../src/channel/data-ring.ts';
import { Random, testSeed } from '../support/random.ts';

const LINE = 64;

t.test('pieces never overlap, start on lines, stay inside and come back in order', async (t) => {
  const seed = testSeed();
  for (let run = 0; run < 1000; run++) {
    const random = new Random(seed + run);
    const bytes = random.pick([64, 128, 4096, 65536]);
    const ring = new DataRing(bytes, random.pick([1, 16, 256]));
    /** Pieces out, oldest first. */
    const out: { offset: number; length: number; end: number }[] = [];
    const fault = (why: string) => t.fail(`${why} (IVSHMEM_TEST_SEED=${seed + run})`);
    for (let step = 0; step < 300; step++) {
      if (random.oneIn(3) && out.length > 0) {
        const upTo = random.below(out.length) + 1;
        ring.free(out.splice(0, upTo).at(-1)!.end);
        continue;
      }
      const mark = ring.end;
      const contiguous = ring.contiguous;
      let length = random.oneIn(4) ? random.below(bytes + 100) : random.below(Math.min(bytes, 300));
      const offset = ring.place(length);
      if (offset < 0) {
        if (Math.max(length, 1) <= contiguous) return fault(`${length} refused, ${contiguous} free in a row`);
        if (out.length === 0 && length <= bytes)
          return fault(`${length} refused by an empty ring of ${bytes}`);
        if (out.length > 0 && ring.end !== mark) return fault('a refusal moved the ring');
        continue;
      }
      if (length > contiguous) return fault(`${length} placed, only ${contiguous} free in a row`);
      if (offset % LINE !== 0 || offset + length > bytes) return fault(`${offset}+${length} of ${bytes}`);
      const clash = out.find(
        (o) => offset < o.offset + Math.max(o.length, 1) && o.offset < offset + Math.max(length, 1),
      );
      if (clash) return fault(`${offset}+${length} overlaps ${clash.offset}+${clash.length}`);
      if (random.oneIn(4)) {
        length = random.below(length + 1);
        ring.shrink(offset, length);
      } else if (random.oneIn(8) && out.length > 0) {
        ring.rewind(mark);
        if (ring.contiguous !== contiguous) return fault('a rewind left a trace');
        continue;
      }
      out.push({ offset, length, end: ring.end });
    }
    if (out.length > 0) ring.free(out.at(-1)!.end);
    if (ring.place(bytes) !== 0) return fault('not empty after everything came back');
  }
  t.pass('1000 runs');
  return undefined;
});

t.test('an empty piece takes a line, so that it has an end of its own', async (t) => {
  const ring = new DataRing(4096, 64);
  ring.place(64);
  const first = ring.end;
  t.equal(ring.place(0), 64);
  const empty = ring.end;
  t.not(empty, first);
  ring.free(first);
  t.equal(ring.place(4000), -1, 'the empty piece is still out');
  t.equal(ring.place(2000), 128);
  ring.free(empty);
  t.equal(ring.place(64), 2176, 'and what came after it is still there');
});

t.test('small pieces turn back to the start after the window, large ones use the whole area', async (t) => {
  const ring = new DataRing(65536, 16);
  const ends: number[] = [];
  const offsets: number[] = [];
  for (let i = 0; i < 60; i++) {
    offsets.push(ring.place(256));
    ends.push(ring.end);
    if (i >= 2) ring.free(ends[i - 2]!);
  }
  t.ok(Math.max(...offsets) < 4096, 'the same few KiB, over and over');
  const large = ring.place(8192);
  t.ok(large > 0 && large < 4096, 'behind the small ones');
  t.equal(ring.place(8192), large + 8192, 'and on, past the window');
});

t.test('a consumer that holds back a quarter of the ring never makes a large area look full', async (t) => {
  const seed = testSeed();
  for (let run = 0; run < 300; run++) {
    const random = new Random(seed + run);
    const pieces = random.pick([16, 64, 256]);
    const bytes = random.pick([1, 8]) << 20;
    const length = random.pick([0, 64, 100, 256, 1024, 4096]);
    const bursts = random.oneIn(2);
    const ring = new DataRing(bytes, pieces);
    /** Ends of what is out, oldest first; the newest is being looked at. */
    const out: number[] = [];
    for (let step = 0; step < 3000; step++) {
      const placed = bursts ? ring.placeBurst(length, 1) : Number(ring.place(length) >= 0);
      if (placed !== 1) {
        t.fail(`${out.length} of ${pieces} out, and no room for ${length} (IVSHMEM_TEST_SEED=${seed + run})`);
        return;
      }
      out.push(ring.end);
      if (out.length > 1 && (out.length > pieces / 4 || random.oneIn(20)))
        ring.free(out.splice(0, out.length - 1).at(-1)!);
      if (out.length > 1 && random.oneIn(50)) ring.free(out.shift()!);
    }
  }
  t.pass('300 runs');
});

t.test('the area is whole lines', async (t) => {
  const ring = new DataRing(100, 4);
  t.equal(ring.bytes, 64);
  t.equal(ring.place(65), -1);
  t.equal(ring.place(64), 0);
});
