import { closeSync } from 'node:fs';
import t from 'tap';
import { createServer } from '../../../src/host/index.ts';
import { silentLog } from '../../../src/host/log.ts';
import { HugePages } from '../../../src/host/serve/huge-pages.ts';
import { open } from '../../../src/index.ts';
import { binding } from '../../../src/native/binding.ts';
import { hugeMapped } from '../../support/huge-mapped.ts';
import { until } from '../../support/protocol/until.ts';

const BLOCK = 2 << 20;
const PAGES = BLOCK / 4096;

const able = async (): Promise<boolean> => {
  const fd = binding.createMemfd('able', BLOCK, true, false);
  const mapping = binding.mapFile(fd, 0, BLOCK, true);
  const errno = await binding.collapsePages(mapping.buffer, 0, BLOCK);
  mapping.close();
  closeSync(fd);
  return errno === 0;
};
const skip = !(await able()) && 'this kernel makes no huge pages of a memfd';

t.test('blocks become huge as they come into use, and again after a hole', { skip }, async (t) => {
  const name = 'huge-pages-in-use';
  const fd = binding.createMemfd(name, 4 * BLOCK + 4096, true, false);
  const mapping = binding.mapFile(fd, 0, 4 * BLOCK + 4096, true);
  const bytes = new Uint8Array(mapping.buffer);
  const touched = (): number => {
    let sum = 0;
    for (let at = 0; at < bytes.length; at += 4096) sum += bytes[at]!;
    t.ok(sum <= 7, 'what was written is there at most');
    return hugeMapped(name);
  };
  const huge = new HugePages(mapping.buffer, silentLog);
  bytes[BLOCK] = 7;
  huge.take(PAGES + 1, 1);
  huge.take(PAGES + 3, 2);
  await until('the block is huge', () => touched() === BLOCK);
  t.equal(bytes[BLOCK], 7);
  huge.take(3 * PAGES, PAGES + 1);
  await until('so is another one; what is no whole block stays', () => touched() === 2 * BLOCK);
  binding.punchHole(fd, BLOCK, 8192);
  t.equal(touched(), BLOCK, 'a hole splits it');
  huge.lose(PAGES, 2);
  await until('whole again', () => touched() === 2 * BLOCK);
  t.equal(bytes[BLOCK], 0, 'and the hole is zero');
  huge.close();
  huge.take(0, 1);
  closeSync(fd);
  mapping.close();
});

t.test('a region smaller than a block has none', async (t) => {
  const huge = new HugePages(new ArrayBuffer(BLOCK - 4096), silentLog);
  huge.take(0, PAGES - 1);
  huge.lose(0, PAGES - 1);
  t.doesNotThrow(() => huge.close());
});

for (const wanted of [true, false]) {
  const what = wanted ? 'in huge pages' : 'in small ones, when the configuration says so';
  t.test(`members find tables and channels ${what}`, { skip }, async (t) => {
    const name = `huge-${wanted}`;
    const socket = `@ivshmem-huge-${process.pid}-${wanted}`;
    const server = await createServer({
      regions: [{ name, socket, size: '8M', transparentHugePages: wanted }],
    });
    t.teardown(() => server.close());
    const [a, b] = await Promise.all([open({ socket, name: 'a' }), open({ socket, name: 'b' })]);
    t.teardown(() => Promise.all([a.close(), b.close()]));
    const listener = await a.listen('x');
    const channel = await b.connect('x', { dataBytes: 1 << 20 });
    const accepted = await listener.accept();
    const text = new TextEncoder().encode('hello');
    const seen = (): number => {
      t.ok(channel.send(text), 'there is room');
      const message = accepted!.receive();
      t.same(message?.copy(), text);
      accepted!.release();
      return hugeMapped(`ivshmem-${name}`);
    };
    if (wanted) await until('they are huge', () => seen() >= 2 * BLOCK);
    else t.equal(seen(), 0);
  });
}
