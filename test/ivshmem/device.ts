import t, { type Test } from 'tap';
import { IvshmemDevice } from '../../src/ivshmem/device.ts';
import { binding } from '../../src/native/binding.ts';
import { linkedBackends } from '../../src/testing/linked-backends.ts';

function devices(t: Test, count: number, vectors = 3): IvshmemDevice[] {
  const all = linkedBackends(count, 1 << 20, { vectors }).map((backend) => new IvshmemDevice(backend));
  t.teardown(() => {
    for (const device of all) device.close();
  });
  return all;
}

t.test('two peers share memory and interrupt each other', async (t) => {
  const [one, two] = devices(t, 2);
  t.match(two, { kind: 'host', ivPosition: 1, vectors: 3, removed: false, closed: false });
  new Int32Array(one!.memory)[7] = 1;
  t.equal(new Int32Array(two!.memory)[7], 1);
  two!.keepAlive(true);
  const seen = await new Promise<number>((resolve) => {
    two!.onInterrupt(1, resolve);
    one!.ring(1, 1);
  });
  t.equal(seen, 1);
  t.same(two!.interruptCounts(), [0, 1, 0]);
  t.equal(typeof two!.spuriousWakeups(), 'number');
});

t.test('doorbells before the first callback are not lost, and callbacks come off', async (t) => {
  const [one, two] = devices(t, 2);
  two!.keepAlive(true);
  one!.ring(1, 0);
  one!.ring(1, 0);
  const calls: string[] = [];
  const first = new Promise<number>((resolve) => two!.onInterrupt(0, resolve));
  const off = two!.onInterrupt(0, () => calls.push('off'));
  off();
  t.ok((await first) >= 1);
  t.same(calls, []);
  const later = new Promise<number>((resolve) => two!.onInterrupt(2, resolve));
  one!.ring(1, 2);
  t.equal(await later, 1, 'a vector registered later has a thread of its own');
  t.equal(two!.interruptCounts()[0], 2);
  two!.keepAlive(false);
});

t.test('who throws when told of a removal does not keep it from the others', async (t) => {
  const [backend] = linkedBackends(1, 1 << 20);
  const device = new IvshmemDevice(backend!);
  t.teardown(() => device.close());
  let told = 0;
  device.onRemoved(() => {
    throw new Error('of the first');
  });
  device.onRemoved(() => told++);
  t.throws(() => backend!.unplug(), { message: 'of the first' });
  t.equal(told, 1);
});

t.test('a vector is free, taken or listened to', async (t) => {
  const [one, two] = devices(t, 2);
  const eventfd = two!.takeVector(0);
  one!.ring(1, 0);
  t.equal(binding.eventfdDrain(eventfd), 1);
  t.throws(() => two!.takeVector(0), { code: 'ERR_IVSHMEM_VECTOR' });
  t.throws(() => two!.onInterrupt(0, () => t.fail('an interrupt')), {
    code: 'ERR_IVSHMEM_VECTOR',
    message: /taken/,
  });
  two!.onInterrupt(1, () => {});
  t.throws(() => two!.takeVector(1), { code: 'ERR_IVSHMEM_VECTOR', message: /callback/ });
  for (const vector of [3, -1, 0.5])
    t.throws(() => two!.takeVector(vector), { code: 'ERR_IVSHMEM_VECTOR', message: /3 vectors/ });
});

t.test('a doorbell that no peer can have', async (t) => {
  const [one] = devices(t, 1);
  for (const [peer, vector] of [
    [-1, 0],
    [65536, 0],
    [0, 256],
    [0, -1],
    [Number.NaN, 0],
  ])
    t.throws(() => one!.ring(peer!, vector!), { code: 'ERR_IVSHMEM_PEER', kind: 'usage' });
  one!.ring(65535, 255);
});

t.test('removal', async (t) => {
  const [backend] = linkedBackends(1, 4096);
  using device = new IvshmemDevice(backend!);
  new Int32Array(device.memory)[0] = 3;
  const told: string[] = [];
  device.onRemoved(() => told.push('first'));
  backend!.unplug();
  t.same(told, ['first']);
  t.equal(device.removed, true);
  t.equal(new Int32Array(device.memory)[0], 0);
  device.ring(0, 0);
  await new Promise<void>((resolve) => device.onRemoved(resolve));
});

t.test('close', async (t) => {
  const [one, two] = devices(t, 2);
  const { memory } = two!;
  two!.onInterrupt(0, () => t.fail('an interrupt'));
  await new Promise((resolve) => setImmediate(resolve));
  one!.ring(1, 0);
  two!.close();
  two!.close();
  t.equal(memory.byteLength, 0);
  t.equal(two!.closed, true);
  for (const use of [
    () => two!.memory,
    () => two!.ring(0, 0),
    () => two!.onInterrupt(0, () => {}),
    () => two!.takeVector(1),
  ])
    t.throws(use, { code: 'ERR_IVSHMEM_CLOSED', kind: 'usage' });
  one!.onInterrupt(0, () => t.fail('an interrupt'));
  one!.close();
});
