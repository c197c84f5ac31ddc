import t from 'tap';
import { DeviceQueue, DriverQueue, type QueuePlace } from '../../src/virtqueue/index.ts';

const memory = new ArrayBuffer(1024);
const detached = new ArrayBuffer(1024);
structuredClone(detached, { transfer: [detached] });
const good: QueuePlace = { memory, size: 16, ring: 256, driverEvent: 512, deviceEvent: 640 };

const bad: Readonly<Record<string, Partial<QueuePlace>>> = {
  'size 0': { size: 0 },
  'size 1': { size: 1 },
  'a size that is no power of two': { size: 12 },
  'a negative size': { size: -16 },
  'a fractional size': { size: 2.5 },
  'a size of NaN': { size: Number.NaN },
  'a size over 32768 (§2.8.10.1)': { size: 65536 },
  'a ring that leaves the memory': { ring: 1024 - 240 },
  'a ring before the memory': { ring: -16 },
  'a ring off its alignment of 16 (§2.8.10.1)': { ring: 264 },
  'a ring nowhere': { ring: Number.NaN },
  'a ring beyond exact integers': { ring: 2 ** 60 },
  'a driver event off its alignment of 4': { driverEvent: 514 },
  'a driver event that leaves the memory': { driverEvent: 1024 },
  'a device event off its alignment of 4': { deviceEvent: 641 },
  'a device event before the memory': { deviceEvent: -4 },
  'a detached memory': { memory: detached },
};

for (const [what, change] of Object.entries(bad)) {
  t.test(`${what} is refused`, async (t) => {
    const place = { ...good, ...change };
    const options = { ...place, inOrder: true };
    t.throws(() => new DriverQueue(options), { code: 'ERR_IVSHMEM_QUEUE_SHAPE' });
    t.throws(() => new DeviceQueue({ ...options, bounds: { start: 0, end: 1024 } }), {
      code: 'ERR_IVSHMEM_QUEUE_SHAPE',
    });
  });
}

t.test('areas that end with the memory are accepted', async (t) => {
  const place = {
    memory,
    size: 16,
    ring: 1024 - 256,
    driverEvent: 1020 - 256,
    deviceEvent: 0,
    inOrder: true,
  };
  t.equal(new DriverQueue(place).size, 16);
  t.equal(new DeviceQueue({ ...place, deviceEvent: 4, bounds: { start: 0, end: 1024 } }).size, 16);
});

t.test('a memory whose length is no multiple of 4, and one beyond 4 GiB, are seen whole', async (t) => {
  const odd = { memory: new ArrayBuffer(1023), size: 2, ring: 0, driverEvent: 1016, deviceEvent: 32 };
  const queue = new DriverQueue({ ...odd, inOrder: true });
  queue.disableNotifications();
  t.equal(new Int32Array(odd.memory, 1016, 1)[0], 1 << 16);
  // Zero pages nobody touches: address space, not memory.
  const huge = new ArrayBuffer(2 ** 32 + 65536);
  const high = {
    memory: huge,
    size: 2,
    ring: 2 ** 32,
    driverEvent: 2 ** 32 + 64,
    deviceEvent: 2 ** 32 + 128,
  };
  const driver = new DriverQueue({ ...high, inOrder: true });
  driver.addReadable(2 ** 32 + 4096, 8, 0);
  driver.publish();
  t.same([...new Uint32Array(huge, 2 ** 32, 3)], [4096, 1, 8]);
});
