import t from 'tap';
import { readRecord } from '../../src/channel/record.ts';
import { isIvshmemError } from '../../src/errors/index.ts';
import type { RegionHeader } from '../../src/memory/header.ts';
import { CHANNEL_OPEN, CHANNEL_W, channelLayout, PAGE_BYTES } from '../../src/memory/layout.ts';
import { Random, testSeed } from '../support/random.ts';

const header: RegionHeader = {
  minor: 0,
  regionPages: 1024,
  slots: 16,
  vectors: 2,
  channels: 64,
  slotTablePage: 1,
  memberPage: 2,
  channelTablePage: 18,
  membershipPage: 0,
  spacePage: 0,
  heapPage: 19,
  uuid: '',
  name: 'test',
};

function table(): Int32Array {
  return new Int32Array((header.heapPage * PAGE_BYTES) / 4);
}

/** Writes entry 5, good except for `change`. */
function write(words: Int32Array, change: Partial<Record<keyof typeof CHANNEL_W, number>> = {}): void {
  const at = (header.channelTablePage * PAGE_BYTES) / 4 + 5 * 16;
  const entry = {
    state: CHANNEL_OPEN,
    generation: 9,
    slots: 3 | (4 << 16),
    connectorEpoch: 1,
    listenerEpoch: 1,
    firstPage: 100,
    pages: channelLayout(16, 8192).bytes / PAGE_BYTES,
    queueSize: 16,
    dataBytes: 8192,
    closed: 0,
    listener: 77,
    ...change,
  };
  for (const [field, value] of Object.entries(entry))
    words[at + CHANNEL_W[field as keyof typeof CHANNEL_W]] = value;
}

t.test('a good entry is copied; a free one is null', async (t) => {
  const words = table();
  t.equal(readRecord(words, header, 5), null);
  write(words);
  t.same(readRecord(words, header, 5), {
    number: 5,
    open: true,
    generation: 9,
    connector: 3,
    listener: 4,
    offset: 100 * PAGE_BYTES,
    queueSize: 16,
    dataBytes: 8192,
    closed: 0,
    listenerId: 77,
  });
  write(words, { state: 2 });
  t.equal(readRecord(words, header, 5), null, 'an unknown state is not open');
});

const garbage: Readonly<Record<string, Partial<Record<keyof typeof CHANNEL_W, number>>>> = {
  'queue size 0': { queueSize: 0 },
  'queue size 1': { queueSize: 1 },
  'queue size 12': { queueSize: 12 },
  'queue size 65536': { queueSize: 65536 },
  'a negative queue size': { queueSize: -2147483648 },
  'no data': { dataBytes: 0 },
  'data that is no whole page': { dataBytes: 8193 },
  'data of 4 GiB less a page': { dataBytes: -4096, pages: 1 << 21 },
  'pages in the tables': { firstPage: 0 },
  'pages just before the heap': { firstPage: 18 },
  'pages past the end': { firstPage: 1020 },
  'a first page of 2^32 - 1': { firstPage: -1 },
  'more pages than there are': { pages: -1 },
  'fewer pages than the queues need': { pages: 5 },
  'no pages': { pages: 0 },
};
for (const [what, change] of Object.entries(garbage)) {
  t.test(`${what} is refused`, async (t) => {
    const words = table();
    write(words, change);
    t.throws(() => readRecord(words, header, 5), { code: 'ERR_IVSHMEM_CHANNEL_TABLE', message: /channel 5/ });
  });
}

t.test('numbers outside the table are refused', async (t) => {
  for (const number of [0, -1, 64, 2 ** 31])
    t.throws(() => readRecord(table(), header, number), { code: 'ERR_IVSHMEM_CHANNEL_TABLE' });
});

t.test('random entries: refused, or memory that lies in the heap', async (t) => {
  const seed = testSeed();
  const random = new Random(seed);
  const words = table();
  let accepted = 0;
  for (let run = 0; run < 50_000; run++) {
    write(words, {
      firstPage: random.oneIn(2) ? random.below(1100) : random.bits(),
      pages: random.oneIn(2) ? random.below(1100) : random.bits(),
      queueSize: random.oneIn(2) ? 1 << random.below(17) : random.bits(),
      dataBytes: random.oneIn(2) ? random.below(300) * PAGE_BYTES : random.bits(),
      slots: random.bits(),
    });
    try {
      const { offset, queueSize, dataBytes } = readRecord(words, header, 5)!;
      const end = offset + channelLayout(queueSize, dataBytes).bytes;
      if (offset < header.heapPage * PAGE_BYTES || end > header.regionPages * PAGE_BYTES)
        return t.fail(`${offset} to ${end} (seed ${seed}, run ${run})`);
      accepted++;
    } catch (error) {
      if (!isIvshmemError(error, 'ERR_IVSHMEM_CHANNEL_TABLE')) throw error;
    }
  }
  t.ok(accepted > 100, `${accepted} accepted`);
  return undefined;
});
