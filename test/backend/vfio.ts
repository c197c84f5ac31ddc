import { watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openVfio } from '../../src/backend/vfio.ts';
import { binding } from '../../src/native/binding.ts';
import { PciAddress } from '../../src/pci/address.ts';
import { memoryBar } from '../../src/testing/fake-pci-device.ts';
import { openThings } from '../support/open-things.ts';
import { ADDRESS, ivshmem, MEMORY_BYTES, machine } from '../vfio/support.ts';

t.test('a doorbell device: memory, position, doorbell, interrupts', async (t) => {
  const device = ivshmem(t);
  const { vfio: system, sysfs, bar } = machine(t, [device]);
  const registers = new Uint32Array(bar(device, 0).buffer);
  registers[2] = 9;
  const backend = openVfio(ADDRESS, { system, sysfs });
  t.match(backend, { kind: 'vfio', on: ADDRESS, ivPosition: 9 });
  t.equal(backend.memory.byteLength, MEMORY_BYTES);
  t.equal(backend.interrupts.length, 2);
  t.equal(device.config.readUInt16LE(4), 6, 'memory space and bus mastering are on');
  backend.ring(65535, 3);
  t.equal(registers[3], 0xffff0003);
  new Int32Array(backend.memory.buffer)[5] = 77;
  t.equal(new Int32Array(bar(device, 2).buffer)[5], 77);
  device.interrupt(undefined, 1);
  t.equal(binding.eventfdDrain(backend.interrupts[1]!), 1);
  const { buffer } = backend.memory;
  const part = backend.mapPart(4096, 100);
  t.equal(part.buffer.byteLength, 100, 'a part is exactly what was asked for');
  new Int32Array(part.buffer)[3] = 78;
  t.equal(new Int32Array(buffer)[1024 + 3], 78);
  t.throws(() => backend.mapPart(MEMORY_BYTES, 4096), { code: 'ERR_IVSHMEM_REGION_ACCESS' });
  const { buffer: early } = backend.mapPart(0, 4096);
  part.close();
  backend.close();
  backend.close();
  t.equal(buffer.byteLength, 0, 'detached');
  t.equal(early.byteLength, 0, 'and a part that nobody closed');
  backend.ring(1, 0);
  t.equal(registers[3], 0xffff0003, 'and silent');
  t.equal(system.openCount, 0);
});

t.test('what cannot be opened leaves nothing open', async (t) => {
  const device = ivshmem(t, { bars: [memoryBar(256), undefined, undefined] });
  const { vfio: system, sysfs, fake } = machine(t, [device]);
  // The first watch of a process takes a descriptor for good.
  watch(fake.root, { persistent: false }).close();
  const before = openThings(fake.root);
  for (let n = 0; n < 3; n++)
    t.throws(() => openVfio(ADDRESS, { system, sysfs }), { code: 'ERR_IVSHMEM_BAR_ABSENT' });
  t.same(openThings(fake.root), before);
  t.equal(system.openCount, 0);
});

t.test('the capability and the kernel both bound the vectors', async (t) => {
  const device = ivshmem(t);
  device.config.writeUInt16LE(2047, 0x42);
  const { vfio: system, sysfs } = machine(t, [device]);
  const backend = openVfio(ADDRESS, { system, sysfs });
  t.equal(backend.interrupts.length, 2);
  backend.close();
});

t.test('ivshmem-plain has no vectors; a BAR0 that cannot be mapped is written with pwrite', async (t) => {
  const rung: number[][] = [];
  const registers = { sizeBytes: 256, read: () => 0, write: (...access: number[]) => rung.push(access) };
  const device = ivshmem(t, { vectors: 0, bars: [registers, undefined, memoryBar(MEMORY_BYTES)] });
  const { vfio: system, sysfs } = machine(t, [device]);
  const backend = openVfio(ADDRESS, { system, sysfs });
  t.same(backend.interrupts, []);
  backend.ring(1, 2);
  t.same(rung, [[12, 4, 0x10002]]);
  backend.close();
});

t.test('surprise removal: zeros, one callback, and the kernel gets its device', async (t) => {
  const device = ivshmem(t);
  const { vfio: system, sysfs, bar } = machine(t, [device]);
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  const backend = openVfio(ADDRESS, { system, sysfs });
  const words = new Int32Array(backend.memory.buffer);
  words[0] = 1;
  const part = new Int32Array(backend.mapPart(0, 4096).buffer);
  t.equal(part[0], 1);
  let calls = 0;
  backend.onRemoving(() => {
    words[7] = 7;
    backend.ring(2, 0);
    t.equal(system.openCount, 3, 'the device is still there');
  });
  // What the kernel does at an unplug: the group has left its container once the device's descriptor is closed.
  system.failures.set('vfioGroupUnsetContainer', 'EINVAL');
  await new Promise<void>((resolve) => {
    backend.onRemoved(() => {
      calls++;
      t.equal(words[0], 0, 'memory is revoked before anybody hears of it');
      t.equal(part[0], 0, 'and so is what was mapped of it by itself');
      t.throws(() => backend.mapPart(0, 4096), { code: 'ERR_IVSHMEM_CLOSED' });
      t.equal(system.openCount, 0, 'and the device released');
      resolve();
    });
    system.request(device);
  });
  words[0] = 5;
  backend.ring(1, 0);
  t.equal(new Uint32Array(bar(device, 0).buffer)[3], 0x20000, 'the last doorbell is that of the last words');
  const seen = new Int32Array(bar(device, 2).buffer);
  t.match([seen[0], seen[7]], [1, 7], 'last words arrive, later stores go nowhere');
  backend.close();
  backend.close();
  t.equal(words.length, 0);
  t.equal(calls, 1);
});

t.test('a reset ends it: zeros, one callback, the device given back', async (t) => {
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  for (const how of ['told by inotify', 'noticed']) {
    const device = ivshmem(t);
    const { vfio: system, sysfs, bar } = machine(t, [device]);
    const backend = openVfio(ADDRESS, { system, sysfs });
    const words = new Int32Array(backend.memory.buffer);
    words[0] = 1;
    t.equal(backend.lost!(), false);
    let calls = 0;
    backend.onRemoving(() => t.fail('nothing is there for last words'));
    const removed = new Promise<void>((resolve) =>
      backend.onRemoved(() => {
        calls++;
        resolve();
      }),
    );
    if (how === 'noticed') {
      new Uint32Array(bar(device, 0).buffer)[2] = 0xffffffff;
      t.equal(backend.lost!(), true);
      t.equal(backend.lost!(), true);
      t.equal(words[0], 1, 'not in the middle of what the caller does');
    } else writeFileSync(join(sysfs.function(PciAddress.parse(ADDRESS)!).path, 'reset'), '1');
    await removed;
    t.strictSame([words[0], system.openCount, calls], [0, 0, 1], how);
    t.equal(backend.lost!(), true);
    backend.close();
    t.equal(words.length, 0);
  }
});

t.test('closed before what it noticed comes to pass', async (t) => {
  const device = ivshmem(t);
  const { vfio: system, sysfs, bar } = machine(t, [device]);
  const backend = openVfio(ADDRESS, { system, sysfs });
  backend.onRemoved(t.fail);
  new Uint32Array(bar(device, 0).buffer)[2] = 0xffffffff;
  t.equal(backend.lost!(), true);
  backend.close();
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(system.openCount, 0);
});

t.test('failures on the way leave nothing open', async (t) => {
  for (const call of ['vfioRegionInfo', 'vfioIrqInfo', 'vfioSetIrqEventfds', 'mapFile', 'write', 'read']) {
    const { vfio: system, sysfs } = machine(t, [ivshmem(t)]);
    system.failures.set(call, 'EIO');
    t.throws(() => openVfio(ADDRESS, { system, sysfs }), { code: 'ERR_IVSHMEM_VFIO' }, call);
    t.equal(system.openCount, 0, call);
  }
  const { vfio: system, sysfs } = machine(t, [ivshmem(t, { bars: [memoryBar(256)] })]);
  t.throws(() => openVfio(ADDRESS, { system, sysfs }), { code: 'ERR_IVSHMEM_BAR_ABSENT', message: /BAR2/ });
  t.equal(system.openCount, 0);
});
