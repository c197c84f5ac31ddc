import { crc32 } from 'node:zlib';
import t from 'tap';
import { type NewHeader, readHeader, writeHeader } from '../../src/memory/header.ts';
import { HEADER_W } from '../../src/memory/layout.ts';
import { Random, testSeed } from '../support/random.ts';

const fresh: NewHeader = {
  regionBytes: 1 << 20,
  slots: 64,
  vectors: 2,
  channels: 1024,
  uuid: Uint8Array.from({ length: 16 }, (_, i) => i * 16 + i),
  name: 'région',
};

function region(): { memory: ArrayBuffer; words: Int32Array; seal(): void } {
  const memory = new ArrayBuffer(fresh.regionBytes);
  writeHeader(memory, fresh);
  const words = new Int32Array(memory);
  const seal = (): void => {
    words[HEADER_W.checksum] = crc32(new Uint8Array(memory, 0, HEADER_W.checksum * 4));
  };
  return { memory, words, seal };
}

t.test('what is written is read', async (t) => {
  t.same(readHeader(region().memory), {
    minor: 2,
    regionPages: 256,
    slots: 64,
    vectors: 2,
    channels: 1024,
    slotTablePage: 1,
    memberPage: 2,
    channelTablePage: 66,
    membershipPage: 82,
    heapPage: 135,
    spacePage: 131,
    uuid: '00112233445566778899aabbccddeeff',
    name: 'région',
  });
});

t.test('a higher minor version is accepted', async (t) => {
  const { memory, words, seal } = region();
  words[HEADER_W.version]! += 3;
  seal();
  t.equal(readHeader(memory).minor, 5);
});

t.test('every way a header can be wrong', async (t) => {
  const broken = (code: string, change: (words: Int32Array) => void, sealed = true): void => {
    const { memory, words, seal } = region();
    change(words);
    if (sealed) seal();
    t.throws(() => readHeader(memory, memory.byteLength), { code: `ERR_IVSHMEM_REGION_${code}` });
  };
  broken('MAGIC', (words) => words.fill(0));
  broken('MAGIC', (words) => words.set([7], HEADER_W.magic1));
  broken('MAJOR', (words) => words.set([2 << 16], HEADER_W.version));
  broken('MAJOR', (words) => words.set([0], HEADER_W.version));
  broken('UNREADY', (words) => words.set([0], HEADER_W.ready));
  broken('CHECKSUM', (words) => words.set([63], HEADER_W.slots), false);
  broken('TRUNCATED', (words) => words.set([512], HEADER_W.regionPages));
  const garbage: [keyof typeof HEADER_W, number][] = [
    ['slots', 1],
    ['slots', 257],
    ['slots', -1],
    ['vectors', 0],
    ['vectors', 257],
    ['channels', 0],
    ['channels', 16385],
    ['slotTablePage', 0],
    ['memberPage', 1],
    ['memberPage', -1],
    ['channelTablePage', 65],
    ['heapPage', 81],
    ['heapPage', 134],
    ['heapPage', 257],
  ];
  for (const [field, value] of garbage) {
    broken('GARBAGE', (words) => words.set([value], HEADER_W[field]));
  }
});

t.test('less memory than the header says, or than a header takes', async (t) => {
  const { memory } = region();
  t.throws(() => readHeader(memory.slice(0, 1 << 19)), { code: 'ERR_IVSHMEM_REGION_TRUNCATED' });
  t.throws(() => readHeader(new ArrayBuffer(64)), { code: 'ERR_IVSHMEM_REGION_TRUNCATED' });
  t.throws(() => readHeader(memory, 0), { code: 'ERR_IVSHMEM_REGION_TRUNCATED' });
});

t.test('random damage is always a catalogued error or a header that holds together', async (t) => {
  const seed = testSeed();
  const random = new Random(seed);
  for (let i = 0; i < 3000; i++) {
    const { memory, words, seal } = region();
    for (let hits = 1 + random.below(4); hits > 0; hits--) words[random.below(34)] = random.bits();
    if (random.oneIn(2)) seal();
    try {
      const header = readHeader(memory);
      if (header.heapPage > 256 || header.slots > 256) t.fail(`seed ${seed}: ${JSON.stringify(header)}`);
    } catch (error) {
      if (!/^ERR_IVSHMEM_REGION_/.test((error as { code: string }).code)) t.fail(`seed ${seed}: ${error}`);
    }
  }
  t.pass('damaged');
});

t.test('a region of version 1.0 has no membership part', async (t) => {
  const { memory, words, seal } = region();
  words[HEADER_W.version]! -= 2;
  words[HEADER_W.membershipPage] = 12345;
  seal();
  t.match(readHeader(memory), { minor: 0, membershipPage: 0 });
});

t.test('a region of version 1.1 has no spaces, and needs no room for their table', async (t) => {
  const { memory, words, seal } = region();
  words[HEADER_W.version]! -= 1;
  words[HEADER_W.heapPage] = 131;
  seal();
  t.match(readHeader(memory), { minor: 1, membershipPage: 82, heapPage: 131, spacePage: 0 });
});

t.test('the header of an older layout is written as such', async (t) => {
  const memory = new ArrayBuffer(1 << 20);
  const uuid = new Uint8Array(16);
  const shape = { regionBytes: 1 << 20, slots: 64, vectors: 2, channels: 1024, uuid, name: 'old' };
  writeHeader(memory, { ...shape, minor: 1 });
  t.match(readHeader(memory), { minor: 1, heapPage: 131, spacePage: 0 });
});

t.test('a membership part that does not fit is refused', async (t) => {
  for (const page of [81, 100]) {
    const { memory, words, seal } = region();
    words[HEADER_W.membershipPage] = page;
    seal();
    t.throws(() => readHeader(memory), { code: 'ERR_IVSHMEM_REGION_GARBAGE' });
  }
});
