import { existsSync, fstatSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseConfig } from '../../../src/host/config/config.ts';
import { openMemory } from '../../../src/host/serve/memory-source.ts';

const region = (more: object) =>
  parseConfig({ regions: [{ name: 'memory', socket: '@memory', size: '2M', ...more }] }, 'test').regions[0]!;

t.test('a sealed memfd', async (t) => {
  const memory = openMemory(region({}));
  t.equal(memory.mapping.byteLength, 2 << 20);
  t.equal(fstatSync(memory.fd).size, 2 << 20);
  memory.close();
  t.equal(memory.mapping.buffer.byteLength, 0);
});

t.test(
  'a file on a tmpfs replaces what was there and goes at the end',
  {
    skip: !existsSync('/dev/shm') && 'no /dev/shm',
  },
  async (t) => {
    const directory = mkdtempSync('/dev/shm/ivshmem-test-');
    t.teardown(() => rmSync(directory, { recursive: true, force: true }));
    const file = join(directory, 'region');
    writeFileSync(file, 'left by an earlier server');
    const before = statSync(file).ino;
    const memory = openMemory(region({ memory: 'file', file }));
    const { size, mode, ino, blocks } = statSync(file);
    t.equal(size, 2 << 20);
    t.equal(mode & 0o777, 0o600);
    t.equal(blocks * 512, 2 << 20, 'all of it is allocated');
    t.not(ino, before, 'members of the earlier server keep their own file');
    t.equal(new Uint8Array(memory.mapping.buffer)[0], 0);
    memory.close();
    t.notOk(existsSync(file));
    const error = { code: 'ERR_IVSHMEM_SERVER_MEMORY', kind: 'failure' };
    t.throws(() => openMemory(region({ memory: 'file', file: join(directory, 'absent', 'x') })), error);
  },
);

t.test(
  'more memory than the tmpfs has',
  {
    skip: !existsSync('/proc/self/fd') && 'no /proc',
  },
  async (t) => {
    // procfs has no free block at all, as a full tmpfs.
    const error = { code: 'ERR_IVSHMEM_SERVER_MEMORY', message: /only 0 bytes are free/ };
    t.throws(() => openMemory(region({ memory: 'file', file: '/proc/ivshmem-test' })), error);
  },
);

const hugePages = Number(/HugePages_Free:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0);

t.test('huge pages', { skip: hugePages < 1 && 'no 2 MiB pages are reserved on this machine' }, async (t) => {
  const memory = openMemory(region({ memory: 'hugepages' }));
  t.equal(memory.mapping.byteLength, 2 << 20);
  new Uint8Array(memory.mapping.buffer)[0] = 1;
  memory.close();
});

t.test(
  'huge pages that are not there',
  {
    skip: hugePages > 0 && '2 MiB pages are reserved on this machine',
  },
  async (t) => {
    t.throws(() => openMemory(region({ memory: 'hugepages' })), {
      code: 'ERR_IVSHMEM_SERVER_MEMORY',
      message: /vm\.nr_hugepages/,
    });
  },
);
