import { readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import t from 'tap';
import { HEADER_W, MAGIC_0, MAGIC_1, PAGE_BYTES } from '../../src/memory/layout.ts';
import { enableMemory, parseRegionName, peekRegion } from '../../src/setup/region-peek.ts';
import { ADDRESS, machine } from './fixtures/machine.ts';

function header(name: string, version = 1 << 16): Buffer {
  const page = Buffer.alloc(PAGE_BYTES);
  page.writeUInt32LE(MAGIC_0, 0);
  page.writeUInt32LE(MAGIC_1, 4);
  page.writeUInt32LE(version, HEADER_W.version * 4);
  page.write(name, HEADER_W.name * 4, 'utf8');
  page.writeUInt32LE(crc32(page.subarray(0, HEADER_W.checksum * 4)), HEADER_W.checksum * 4);
  return page;
}

t.test('reads the name of a region and explains what is none', async (t) => {
  t.same(parseRegionName(header('blue')), { name: 'blue' });
  t.same(parseRegionName(header('é'.repeat(32))), { name: 'é'.repeat(32) }, 'as long as the field');
  t.same(parseRegionName(header('blue', (1 << 16) | 9)), { name: 'blue' }, 'a higher minor version');
  t.match(parseRegionName(header('blue', 2 << 16)), { why: /version 2/ });
  t.match(parseRegionName(Buffer.alloc(PAGE_BYTES)), { why: /no region/ });
  t.match(parseRegionName(Buffer.alloc(PAGE_BYTES, 0xff)), { why: /no region/ });
  t.match(parseRegionName(header('blue').subarray(0, 100)), { why: /smaller/ });
  const damaged = header('blue');
  damaged.writeUInt8(1, 40);
  t.match(parseRegionName(damaged), { why: /damaged/ });
});

t.test('enables memory space while it looks', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: {} } });
  const seen: string[] = [];
  const region = await peekRegion(m.device(), async (path) => {
    seen.push(path, ...m.fake.writes);
    return header('red');
  });
  t.same(region, { name: 'red' });
  const enable = `sys/bus/pci/devices/${ADDRESS}/enable`;
  t.same(seen, [m.device().resourcePath(2), `${enable}=1`]);
  t.same(m.fake.writes, [`${enable}=1`, `${enable}=0`]);
});

t.test('under a driver it sets the command bit and leaves it', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: { driver: 'vfio-pci', iommuGroup: 1 } } });
  for (let round = 0; round < 2; round++) {
    enableMemory(m.device())();
    t.equal(m.device().config().memorySpace, true);
    t.equal(readFileSync(m.device().configPath).length, 256);
  }
  t.same(m.fake.writes, [], 'not through `enable`, which the kernel refuses');
});

t.test('a reason instead of an exception', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: {} } });
  t.match(await peekRegion(m.device()), { why: /./ }, 'the whole way, to a file that holds no region');
  const broken = async () => {
    throw new Error('EINVAL: mmap');
  };
  t.same(await peekRegion(m.device(), broken), { why: 'EINVAL: mmap' });
  m.fake.failWrites('/enable', 'EPERM');
  t.match(await peekRegion(m.device(), async () => header('x')), { why: /EPERM/ });
  const small = machine(t, { functions: { [ADDRESS]: { memoryBytes: 0 } } });
  t.match(await peekRegion(small.device()), { why: /no memory/ });
});
