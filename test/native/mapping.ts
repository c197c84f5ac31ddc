import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { binding, type Mapping } from '../../src/native/binding.ts';

const PAGE = 4096;

function shared(bytes = 4 * PAGE): { fd: number; mapping: Mapping } {
  const fd = binding.createMemfd('mapping-test', bytes, true, false);
  return { fd, mapping: binding.mapFile(fd, 0, bytes, true) };
}

t.test('two mappings of one file are one memory', async (t) => {
  const { fd, mapping } = shared();
  const second = binding.mapFile(fd, PAGE, PAGE, true);
  const reader = binding.mapFile(fd, 0, 4 * PAGE, false);
  closeSync(fd);
  Atomics.store(new Int32Array(second.buffer), 3, 77);
  t.equal(Atomics.load(new Int32Array(mapping.buffer), PAGE / 4 + 3), 77);
  t.equal(new Int32Array(reader.buffer)[PAGE / 4 + 3], 77);
  t.equal(mapping.byteLength, 4 * PAGE);
  t.equal(mapping.buffer, mapping.buffer, 'the same ArrayBuffer each time');
  for (const each of [mapping, second, reader]) each.close();
});

t.test('close detaches every view, and may be repeated', async (t) => {
  const { fd, mapping } = shared();
  closeSync(fd);
  const words = new Int32Array(mapping.buffer, 64, 4);
  const view = new DataView(mapping.buffer);
  mapping.close();
  t.equal(words.length, 0);
  t.equal(words[0], undefined);
  t.throws(() => view.getInt32(0), TypeError);
  t.throws(() => Atomics.load(words, 0), { name: /RangeError|TypeError/ });
  t.equal(mapping.byteLength, 0);
  t.equal(mapping.buffer.byteLength, 0);
  mapping.close();
  mapping.revoke();
});

t.test('revoke keeps the buffer, gives zeros and takes stores that go nowhere', async (t) => {
  const { fd, mapping } = shared();
  const other = binding.mapFile(fd, 0, 4 * PAGE, true);
  closeSync(fd);
  const words = new Int32Array(mapping.buffer);
  words.fill(5);
  mapping.revoke();
  t.equal(words.length, PAGE);
  t.ok(words.every((word) => word === 0));
  words.fill(9);
  t.ok(
    new Int32Array(other.buffer).every((word) => word === 5),
    'the file is untouched',
  );
  mapping.revoke();
  mapping.close();
  other.close();
});

t.test('a file cannot be mapped beyond its end, where loads are SIGBUS', async (t) => {
  const { fd, mapping } = shared();
  t.throws(() => binding.mapFile(fd, 0, 5 * PAGE, true), RangeError);
  t.throws(() => binding.mapFile(fd, 4 * PAGE, 1, true), RangeError);
  t.throws(() => binding.mapFile(fd, 100, PAGE, true), { code: 'EINVAL', syscall: 'mmap' });
  mapping.close();
  closeSync(fd);
});

t.test('mapping errors are those of the kernel', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'ivshmem-mapping-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const path = join(dir, 'file');
  writeFileSync(path, Buffer.alloc(100));
  const fd = openSync(path, 'r');
  t.throws(() => binding.mapFile(fd, 0, 100, true), { code: 'EACCES', errno: 13, syscall: 'mmap' });
  const readable = binding.mapFile(fd, 0, 100, false);
  t.equal(readable.buffer.byteLength, 100);
  readable.close();
  closeSync(fd);
  t.throws(() => binding.mapFile(fd, 0, 100, false), { code: 'EBADF', errno: 9, syscall: 'fstat' });
});

t.test('a sealed memfd cannot change its size, an unsealed one is not sealed', async (t) => {
  const { ftruncateSync } = await import('node:fs');
  const sealed = binding.createMemfd('sealed', PAGE, true, false);
  t.throws(() => ftruncateSync(sealed, 2 * PAGE), { code: 'EPERM' });
  t.throws(() => ftruncateSync(sealed, 0), { code: 'EPERM' });
  const open = binding.createMemfd('open', PAGE, false, false);
  ftruncateSync(open, 2 * PAGE);
  closeSync(sealed);
  closeSync(open);
});

t.test('anonymous memory is zeroed, writable and freed', async (t) => {
  const mapping = binding.mapAnonymous(3 * PAGE, false);
  const bytes = new Uint8Array(mapping.buffer);
  t.equal(bytes.length, 3 * PAGE);
  t.ok(bytes.every((byte) => byte === 0));
  bytes.fill(255);
  mapping.close();
  t.equal(bytes.length, 0);
});

t.test('huge pages: mapped, or a typed refusal where the machine has none', async (t) => {
  const size = 2 << 20;
  try {
    const mapping = binding.mapAnonymous(size, true);
    new Uint8Array(mapping.buffer).fill(1);
    mapping.close();
  } catch (error) {
    t.equal((error as NodeJS.ErrnoException).code, 'ENOMEM');
  }
  try {
    const fd = binding.createMemfd('huge', 2 * size, false, true);
    const whole = binding.mapFile(fd, 0, 2 * size, true);
    const part = binding.mapFile(fd, size + PAGE, 3 * PAGE, true);
    new Uint8Array(part.buffer).fill(7);
    const bytes = new Uint8Array(whole.buffer);
    t.equal(bytes.indexOf(7), size + PAGE, 'an offset within a huge page');
    t.equal(bytes.lastIndexOf(7), size + 4 * PAGE - 1);
    part.close();
    whole.close();
    closeSync(fd);
  } catch (error) {
    t.match((error as NodeJS.ErrnoException).code, /^(ENOMEM|EINVAL)$/);
  }
  t.throws(() => binding.createMemfd('huge', PAGE, false, true), { code: 'EINVAL', syscall: 'ftruncate' });
});

t.test('the non-temporal copy copies what is asked and nothing else', async (t) => {
  const mapping = binding.mapAnonymous(64 * PAGE, false);
  const target = new Uint8Array(mapping.buffer);
  const source = new Uint8Array(40 * PAGE).map((_, i) => (i * 7 + (i >> 8)) & 255);
  for (const [to, from, length] of [
    [0, 0, 0],
    [1, 2, 63],
    [3, 5, 4095],
    [17, 9, 4096],
    [64, 64, 8192],
    [101, 33, 100_003],
  ] as const) {
    target.fill(170);
    binding.copyNonTemporal(mapping.buffer, to, source.buffer, from, length);
    t.same(
      Buffer.compare(target.subarray(to, to + length), source.subarray(from, from + length)),
      0,
      `${length} bytes from ${from} to ${to}`,
    );
    t.equal(
      target.subarray(0, to).every((byte) => byte === 170),
      true,
      'before',
    );
    t.equal(
      target.subarray(to + length).every((byte) => byte === 170),
      true,
      'after',
    );
  }
  target.set(source.subarray(0, 20_000));
  binding.copyNonTemporal(mapping.buffer, 100, mapping.buffer, 0, 20_000);
  t.equal(Buffer.compare(target.subarray(100, 20_100), source.subarray(0, 20_000)), 0, 'overlapping');
  t.throws(() => binding.copyNonTemporal(mapping.buffer, 1, source.buffer, 0, 64 * PAGE), RangeError);
  t.throws(() => binding.copyNonTemporal(mapping.buffer, 0, source.buffer, 1, 40 * PAGE), RangeError);
  mapping.close();
  t.throws(() => binding.copyNonTemporal(mapping.buffer, 0, source.buffer, 0, 1), RangeError);
});

t.test('a view keeps the memory of a collected Mapping; memory nobody reaches is unmapped', async (t) => {
  const script = new URL('./fixtures/collect.ts', import.meta.url).pathname;
  const ran = spawnSync(process.execPath, ['--expose-gc', '--import', 'tsx', script], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  t.equal(ran.stderr, '');
  t.equal(ran.status, 0);
  t.equal(ran.stdout.trim(), 'kept and freed');
  await turn();
});
