import {
  chmodSync,
  closeSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Backend } from '../../src/backend/backend.ts';
import { backendOf, openPciBackend } from '../../src/backend/probe.ts';
import { openUio } from '../../src/backend/uio.ts';
import { watchRemoval } from '../../src/backend/uio-removal.ts';
import { PciAddress } from '../../src/pci/address.ts';
import { PciSysfs } from '../../src/pci/sysfs.ts';
import { type FakeFunction, FakeSysfs } from '../../src/testing/fake-sysfs.ts';
import { openThings } from '../support/open-things.ts';

const ADDRESS = '0000:00:05.0';
const MEMORY_BYTES = 1 << 20;

function machine(t: Test, overrides: FakeFunction = {}) {
  const functions = { [ADDRESS]: { driver: 'uio_pci_generic', memoryBytes: MEMORY_BYTES, ...overrides } };
  const fake = new FakeSysfs(t.testdir(), { functions });
  const directory = join(fake.root, 'sys/bus/pci/devices', ADDRESS);
  const config = readFileSync(join(directory, 'config'));
  config.writeUInt16LE(2, 4); // Command: memory space, as uio_pci_generic leaves it
  writeFileSync(join(directory, 'config'), config);
  const registers = Buffer.alloc(4096);
  registers.writeUInt32LE(6, 8);
  writeFileSync(join(directory, 'resource0'), registers);
  for (const name of ['resource2', 'resource2_wc']) truncateSync(join(directory, name), MEMORY_BYTES);
  const sysfs = new PciSysfs(join(fake.root, 'sys'), fake.write);
  const open = (options = {}): Backend => {
    const backend = openUio(ADDRESS, { sysfs, dev: join(fake.root, 'dev'), ...options });
    t.teardown(() => backend.close());
    return backend;
  };
  return { fake, directory, sysfs, open };
}

t.test('maps registers and memory, rings outward, has no interrupts', async (t) => {
  const { open, directory } = machine(t);
  const backend = open();
  t.match(backend, { kind: 'uio', on: ADDRESS, ivPosition: 6, interrupts: [] });
  new Int32Array(backend.memory.buffer)[3] = 11;
  backend.ring(2, 1);
  t.equal(readFileSync(join(directory, 'resource2')).readInt32LE(12), 11);
  t.equal(readFileSync(join(directory, 'resource0')).readUInt32LE(12), 0x20001);
  const { buffer } = backend.memory;
  backend.close();
  backend.close();
  backend.ring(2, 2);
  t.equal(buffer.byteLength, 0);
  t.equal(readFileSync(join(directory, 'resource0')).readUInt32LE(12), 0x20001);
});

t.test('write-combining when asked for and there', async (t) => {
  const { open, directory } = machine(t);
  const combined = open({ writeCombining: true });
  new Int32Array(combined.memory.buffer)[0] = 5;
  t.equal(readFileSync(join(directory, 'resource2_wc')).readInt32LE(0), 5);
  rmSync(join(directory, 'resource2_wc'));
  const plain = open({ writeCombining: true });
  new Int32Array(plain.memory.buffer)[0] = 6;
  t.equal(readFileSync(join(directory, 'resource2')).readInt32LE(0), 6);
});

t.test('an unplug is noticed: zeros, one callback', async (t) => {
  const { open, fake } = machine(t);
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  const backend = open();
  const words = new Int32Array(backend.memory.buffer);
  words[0] = 9;
  await new Promise<void>((resolve) => {
    backend.onRemoved(resolve);
    fake.unplug(ADDRESS);
  });
  t.equal(words[0], 0);
  words[0] = 1;
  backend.ring(1, 0);
  backend.close();
  t.equal(words.length, 0);
});

t.test('its guardian tells of a reset, and is gone before an unplug is told', async (t) => {
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  const life = { slot: 6, generation: 77, obituaryOffset: 8192, serverBlockOffset: 4096 };
  for (const how of ['reset', 'unplug', 'close']) {
    const { open, fake, directory } = machine(t);
    const backend = open();
    backend.ring(3, 1);
    backend.guard!(life);
    const guardians = children().filter((pid) => !hasEnded(pid));
    t.equal(guardians.length, 1);
    const removed = new Promise<void>((resolve) => backend.onRemoved(resolve));
    // The files of an unplugged device vanish, but not from under who has them open.
    const resource2 = openSync(join(directory, 'resource2'), 'r');
    t.teardown(() => closeSync(resource2));
    if (how === 'reset') writeFileSync(join(directory, 'reset'), '1');
    else if (how === 'unplug') fake.unplug(ADDRESS);
    else backend.close();
    if (how !== 'close') await removed;
    t.ok(guardians.every(hasEnded), `${how}: it has ended`);
    const word = Buffer.alloc(4);
    readSync(resource2, word, 0, 4, life.obituaryOffset);
    t.equal(word.readInt32LE(), how === 'reset' ? life.generation : 0, how);
    backend.guard!(life);
    t.strictSame(
      children().filter((pid) => !hasEnded(pid)),
      [],
      'none for a device that is gone',
    );
    backend.close();
  }
});

/** Process IDs of this process's children. */
function children(): number[] {
  return readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1')
    .trim()
    .split(' ')
    .filter(Boolean)
    .map(Number);
}

function hasEnded(pid: number): boolean {
  try {
    return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return true;
  }
}

t.test('removal without a node to watch', async (t) => {
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  for (const nodes of [[], [join(t.testdir(), 'uio9')]]) {
    let present = true;
    const gone = new Promise<void>((resolve) => watchRemoval(nodes, () => present, resolve));
    present = false;
    await gone;
  }
  const stop = watchRemoval([], () => false, t.fail);
  stop();
  stop();
});

t.test('what cannot be opened', async (t) => {
  const { open, directory, sysfs, fake } = machine(t);
  const again = (options = {}) => openUio(ADDRESS, { sysfs, ...options });
  t.throws(() => openUio('rubbish', { sysfs }), { code: 'ERR_IVSHMEM_PCI_ADDRESS' });
  t.throws(() => openUio(PciAddress.parse('00:1f.0')!, { sysfs }), { code: 'ERR_IVSHMEM_DEVICE_UNBOUND' });
  const config = readFileSync(join(directory, 'config'));
  writeFileSync(join(directory, 'config'), Buffer.from(config).fill(0, 4, 6));
  t.throws(again, { code: 'ERR_IVSHMEM_UIO', remedy: /enable/ });
  writeFileSync(join(directory, 'config'), config);
  open().close();
  rmSync(join(directory, 'resource2'));
  t.throws(again, { code: 'ERR_IVSHMEM_UIO', message: /resource2/ });
  writeFileSync(join(directory, 'resource'), '0x1000 0x10ff 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n');
  t.throws(again, { code: 'ERR_IVSHMEM_BAR_ABSENT' });
  fake.plug('0000:00:06.0', { driver: 'e1000' });
  t.throws(() => openUio('00:06.0', { sysfs }), { code: 'ERR_IVSHMEM_DEVICE_UNBOUND', message: /e1000/ });
});

t.test('what fails when both BARs are mapped leaves nothing open', async (t) => {
  const { open, directory, sysfs, fake } = machine(t);
  open().close();
  const before = openThings(fake.root);
  rmSync(join(directory, 'uio'), { recursive: true });
  writeFileSync(join(directory, 'uio'), '');
  t.throws(() => openUio(ADDRESS, { sysfs }), { code: 'ENOTDIR' });
  t.same(openThings(fake.root), before);
});

t.test(
  'as a user without permission',
  { skip: process.getuid!() !== 0 && 'needs root to become somebody else' },
  async (t) => {
    const { directory, sysfs } = machine(t);
    chmodSync(join(directory, 'resource0'), 0o600);
    process.seteuid!(65534);
    try {
      t.throws(() => openUio(ADDRESS, { sysfs }), {
        code: 'ERR_IVSHMEM_ACCESS_DENIED',
        message: /resource0/,
      });
    } finally {
      process.seteuid!(0);
    }
  },
);

t.test('the bound driver chooses the backend', async (t) => {
  t.equal(backendOf('vfio-pci'), 'vfio');
  t.equal(backendOf('uio_pci_generic'), 'uio');
  t.equal(backendOf(undefined), undefined);
  const { sysfs, fake } = machine(t);
  const device = sysfs.function(PciAddress.parse(ADDRESS)!);
  const backend = openPciBackend(device, { sysfs });
  t.equal(backend.kind, 'uio');
  backend.close();
  t.throws(() => openPciBackend(device, { sysfs, backend: 'vfio' }), { code: 'ERR_IVSHMEM_DEVICE_UNBOUND' });
  fake.plug('0000:00:06.0', {});
  const unbound = sysfs.function(PciAddress.parse('00:06.0')!);
  t.throws(() => openPciBackend(unbound, { sysfs }), {
    code: 'ERR_IVSHMEM_DEVICE_UNBOUND',
    message: /no driver/,
  });
});
