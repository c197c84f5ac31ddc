import t from 'tap';
import { VfioContainer } from '../../src/vfio/container.ts';
import { VirtioRng } from '../../src/virtio/rng.ts';
import type { DescriptorChain } from '../../src/virtqueue/chain.ts';
import { ADDRESS, machine } from './support.ts';

/** Fills every writable element with a running count. */
function counting(most = Number.POSITIVE_INFINITY) {
  let next = 0;
  return (chain: DescriptorChain, memory: ArrayBuffer): number => {
    const length = Math.min(most, chain.lens[0]!);
    const bytes = new Uint8Array(memory, chain.addrs[0]!, length);
    for (let i = 0; i < length; i++) bytes[i] = next++ & 0xff;
    return length;
  };
}

const expected = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i & 0xff);

t.test('fills a request, larger than a buffer and from a device that gives little at a time', async (t) => {
  for (const most of [Number.POSITIVE_INFINITY, 100]) {
    const { vfio, options, device } = machine(t, { id: 4, serve: counting(most) });
    const rng = await VirtioRng.open(ADDRESS, options);
    t.same(await rng.read(10_000), expected(10_000));
    t.equal((await rng.read(0)).length, 0);
    t.ok(device.notifications > 0);
    rng.close();
    rng.close();
    t.equal(device.status, 0, 'the device was reset');
    t.equal(vfio.openCount, 0);
    await t.rejects(rng.read(1), { code: 'ERR_IVSHMEM_CLOSED' });
  }
});

t.test('serves overlapping reads, more than it has buffers', async (t) => {
  const { options } = machine(t, { id: 4, serve: counting(), queueSize: 8 });
  using rng = await VirtioRng.open(ADDRESS, options);
  const reads = await Promise.all(Array.from({ length: 40 }, () => rng.read(64)));
  const all = new Set(reads.map((read) => Buffer.from(read).toString('hex')));
  t.equal(all.size, 4, 'consecutive stretches of the running count, which repeats after 256 bytes');
});

t.test('a device that lies about lengths is broken', async (t) => {
  for (const lie of [0, 65]) {
    const { options } = machine(t, { id: 4, serve: () => lie });
    using rng = await VirtioRng.open(ADDRESS, options);
    await t.rejects(rng.read(64), { code: 'ERR_IVSHMEM_VIRTIO_BROKEN' });
    await t.rejects(rng.read(64), { code: 'ERR_IVSHMEM_VIRTIO_BROKEN' }, 'and stays so');
  }
});

t.test('close, unplug and a call for reset end what is under way', async (t) => {
  const cases = [
    { end: 'close', code: 'ERR_IVSHMEM_CLOSED' },
    { end: 'unplug', code: 'ERR_IVSHMEM_DEVICE_REMOVED' },
    { end: 'reset', code: 'ERR_IVSHMEM_VIRTIO_BROKEN' },
  ];
  for (const { end, code } of cases) {
    const { device, vfio, options } = machine(t, { id: 4, serve: counting() });
    device.paused = true;
    const rng = await VirtioRng.open(ADDRESS, options);
    const read = rng.read(16);
    const refused = t.rejects(read, { code }, end);
    if (end === 'close') setImmediate(() => rng.close());
    else if (end === 'unplug') vfio.request(device.pci);
    else device.announce(64);
    await refused;
    if (end === 'unplug') t.equal(vfio.openCount, 0, 'the kernel has its device back');
    await t.rejects(rng.read(1));
    rng.close();
    t.equal(vfio.openCount, 0);
  }
});

t.test('one vector for everything', async (t) => {
  const { device, options } = machine(t, { id: 4, serve: counting(), vectors: 1 });
  using rng = await VirtioRng.open(ADDRESS, options);
  t.same(await rng.read(50), expected(50));
  device.announce(64);
  device.paused = true;
  await t.rejects(rng.read(1), { code: 'ERR_IVSHMEM_VIRTIO_BROKEN' });
});

t.test('a container that is closed first takes the device with it', async (t) => {
  const { vfio, options, device } = machine(t, { id: 4, serve: counting() });
  const container = VfioContainer.open(vfio);
  const rng = await VirtioRng.open(ADDRESS, { ...options, container });
  device.paused = true;
  const read = t.rejects(rng.read(1), { code: 'ERR_IVSHMEM_CLOSED' });
  container.close();
  rng.close();
  await read;
  t.equal(vfio.openCount, 0);
});
