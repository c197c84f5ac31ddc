import t from 'tap';
import { DIRECTORY_W, directoryBytes, readDirectory, writeDirectory } from '../../src/memory/directory.ts';
import { membershipPages, PAGE_BYTES } from '../../src/memory/layout.ts';

const uuid = '00112233445566778899aabbccddeeff';

t.test('a directory has room for its part, and a size that a BAR can have', async (t) => {
  for (const slots of [2, 3, 64, 256]) {
    const memory = new ArrayBuffer(directoryBytes(slots));
    t.ok(Number.isInteger(Math.log2(memory.byteLength)), `${memory.byteLength}`);
    t.ok(memory.byteLength >= (1 + membershipPages(slots)) * PAGE_BYTES);
    t.strictSame(writeDirectory(memory, slots, uuid), readDirectory(memory, slots, uuid));
  }
});

t.test('what is not the directory of this region is refused', async (t) => {
  const fresh = (): Int32Array => {
    const words = new Int32Array(directoryBytes(8) / 4);
    writeDirectory(words.buffer, 8, uuid);
    return words;
  };
  const read = (words: Int32Array) => () => readDirectory(words.buffer as ArrayBuffer, 8, uuid);
  t.throws(() => readDirectory(new ArrayBuffer(100), 8, uuid), {
    code: 'ERR_IVSHMEM_DIRECTORY',
    message: /bytes/,
  });
  t.throws(read(new Int32Array(PAGE_BYTES)), { code: 'ERR_IVSHMEM_DIRECTORY', message: /begins with/ });
  const scribbled = fresh();
  scribbled[DIRECTORY_W.uuid]! ^= 1;
  t.throws(read(scribbled), { code: 'ERR_IVSHMEM_DIRECTORY', message: /checksum/ });
  const other = fresh();
  other[DIRECTORY_W.version]! += 1 << 16;
  t.throws(read(other), { code: 'ERR_IVSHMEM_DIRECTORY', message: /version/ });
  t.throws(() => readDirectory(fresh().buffer as ArrayBuffer, 9, uuid), {
    code: 'ERR_IVSHMEM_DIRECTORY',
    message: /slots|belongs to/,
  });
  t.throws(() => readDirectory(fresh().buffer as ArrayBuffer, 8, `1${uuid.slice(1)}`), {
    code: 'ERR_IVSHMEM_DIRECTORY',
    message: /slots|belongs to/,
  });
  t.throws(read(fresh().slice(0, PAGE_BYTES / 4)), { code: 'ERR_IVSHMEM_DIRECTORY', message: /bytes/ });
});
