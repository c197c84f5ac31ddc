import { randomBytes } from 'node:crypto';
import t from 'tap';
import { VirtioBlk } from '../../src/virtio/blk.ts';
import { FEATURE } from '../../src/virtio/layout.ts';
import type { DescriptorChain } from '../../src/virtqueue/chain.ts';
import { ADDRESS, machine } from './support.ts';

const SECTORS = 4096;
const [SIZE_MAX, SEG_MAX, RO, FLUSH] = [1, 2, 5, 9] as const;

function config(capacity: number, sizeMax = 0, segMax = 0): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.writeBigUInt64LE(BigInt(capacity));
  bytes.writeUInt32LE(sizeMax, 8);
  bytes.writeUInt32LE(segMax, 12);
  return bytes;
}

/** The device side of VIRTIO 1.3 §5.2.6 over an array. */
class Disk {
  readonly bytes = new Uint8Array(SECTORS * 512);
  /** Elements of each request, and how many descriptors of the ring it took. */
  readonly shapes: { elements: number; descriptors: number; longest: number }[] = [];
  flushes = 0;
  answer = (): number | undefined => 0;

  serve = (chain: DescriptorChain, memory: ArrayBuffer): number => {
    const { count, addrs, lens, writable, descriptors } = chain;
    const header = new DataView(memory, addrs[0]!, 16);
    const type = header.getUint32(0, true);
    let at = Number(header.getBigUint64(8, true)) * 512;
    const data = Array.from(lens.subarray(1, count - 1));
    this.shapes.push({ elements: count, descriptors, longest: Math.max(0, ...data) });
    const status = this.answer();
    for (let n = 1; n < count - 1 && status === 0; n++) {
      const element = new Uint8Array(memory, addrs[n]!, lens[n]!);
      if (type === 0 && writable[n] === 1) element.set(this.bytes.subarray(at, at + element.length));
      else if (type === 1 && writable[n] === 0) this.bytes.set(element, at);
      else throw new Error(`element ${n} of a request of type ${type} has the wrong direction`);
      at += element.length;
    }
    if (type === 4) this.flushes++;
    if (status !== undefined) new Uint8Array(memory, addrs[count - 1]!, 1)[0] = status;
    return 1;
  };
}

const indirect = FEATURE.VIRTIO_F_INDIRECT_DESC;
const shapes = [
  { name: 'indirect', features: [indirect, FLUSH], config: config(SECTORS), elements: 3, descriptors: 1 },
  { name: 'chained', features: [FLUSH], config: config(SECTORS), elements: 3, descriptors: 3 },
  {
    name: 'chained, in order, event indexes',
    features: [FLUSH, FEATURE.VIRTIO_F_IN_ORDER, FEATURE.VIRTIO_F_EVENT_IDX],
    config: config(SECTORS),
    elements: 3,
    descriptors: 3,
  },
  {
    name: 'indirect with many segments',
    features: [indirect, SIZE_MAX, SEG_MAX, FLUSH],
    config: config(SECTORS, 4096, 126),
    elements: 16,
    descriptors: 1,
  },
  {
    name: 'chained with many segments',
    features: [SIZE_MAX, SEG_MAX, FLUSH],
    config: config(SECTORS, 4096, 126),
    elements: 16,
    descriptors: 16,
  },
];

for (const shape of shapes) {
  t.test(`writes, flushes and reads back: ${shape.name}`, async (t) => {
    const disk = new Disk();
    const { vfio, options, device } = machine(t, {
      id: 2,
      features: shape.features,
      deviceConfig: shape.config,
      serve: disk.serve,
    });
    const blk = await VirtioBlk.open(ADDRESS, options);
    t.match(blk, { capacity: SECTORS, readOnly: false, on: ADDRESS });
    const data = randomBytes(300 * 512);
    await blk.write(17, data);
    await blk.flush();
    t.equal(disk.flushes, 1);
    t.ok(Buffer.from(disk.bytes.subarray(17 * 512, 317 * 512)).equals(data), 'it is on the disk');
    t.ok(Buffer.from(await blk.read(17, 300)).equals(data), 'and comes back');
    const largest = Math.max(...disk.shapes.map(({ elements }) => elements));
    t.equal(largest, shape.elements);
    t.equal(Math.max(...disk.shapes.map(({ descriptors }) => descriptors)), shape.descriptors);
    if (shape.config.readUInt32LE(8) > 0)
      t.equal(Math.max(...disk.shapes.map(({ longest }) => longest)), 4096);
    t.equal(blk.features.has(indirect), device.has(indirect));
    t.equal(device.fault, undefined, 'the device side found nothing wrong');
    blk.close();
    t.equal(vfio.openCount, 0);
  });
}

t.test('many calls at a time', async (t) => {
  const disk = new Disk();
  const { options } = machine(t, {
    id: 2,
    features: [indirect],
    deviceConfig: config(SECTORS),
    serve: disk.serve,
  });
  using blk = await VirtioBlk.open(ADDRESS, { ...options, requests: 3 });
  const pieces = Array.from({ length: 32 }, () => randomBytes(8 * 512));
  await Promise.all(pieces.map((piece, n) => blk.write(n * 8, piece)));
  const back = await Promise.all(pieces.map((_, n) => blk.read(n * 8, 8)));
  t.ok(back.every((piece, n) => pieces[n]!.equals(piece)));
  await blk.flush();
  t.equal(disk.flushes, 0, 'no cache, no flush');
});

t.test('status errors, and a device that answers nothing', async (t) => {
  const disk = new Disk();
  const { options } = machine(t, {
    id: 2,
    deviceConfig: config(SECTORS),
    serve: disk.serve,
    features: [FLUSH],
  });
  using blk = await VirtioBlk.open(ADDRESS, options);
  const answers = [
    { status: 1, name: /VIRTIO_BLK_S_IOERR/ },
    { status: 2, name: /VIRTIO_BLK_S_UNSUPP/ },
    { status: 77, name: /status 77/ },
  ];
  for (const { status, name } of answers) {
    disk.answer = () => status;
    await t.rejects(blk.read(0, 1), { code: 'ERR_IVSHMEM_BLK_STATUS', message: name });
  }
  await t.rejects(blk.write(0, new Uint8Array(512)), { message: /write at sector 0/ });
  await t.rejects(blk.flush(), { message: /flush/ });
  disk.answer = () => 0;
  t.equal((await blk.read(0, 1)).length, 512, 'an error of one request is not the end');
  disk.answer = () => undefined;
  await t.rejects(blk.read(0, 1), { code: 'ERR_IVSHMEM_VIRTIO_BROKEN' });
  await t.rejects(blk.read(0, 1), { code: 'ERR_IVSHMEM_VIRTIO_BROKEN' });
});

t.test('sectors that are not there', async (t) => {
  const { options } = machine(t, { id: 2, deviceConfig: config(SECTORS), serve: () => 0 });
  using blk = await VirtioBlk.open(ADDRESS, options);
  for (const [sector, count] of [
    [SECTORS, 1],
    [0, SECTORS + 1],
    [-1, 1],
    [0, -1],
    [0.5, 1],
    [0, Number.NaN],
  ])
    await t.rejects(blk.read(sector!, count!), { code: 'ERR_IVSHMEM_BLK_RANGE', kind: 'usage' });
  await t.rejects(blk.write(0, new Uint8Array(100)), { code: 'ERR_IVSHMEM_BLK_RANGE' });
});

t.test('a read-only disk says so', async (t) => {
  const { options } = machine(t, { id: 2, deviceConfig: config(8), serve: () => 0, features: [RO] });
  using blk = await VirtioBlk.open(ADDRESS, options);
  t.equal(blk.readOnly, true);
});

t.test('configurations that make no sense', async (t) => {
  const cases = [
    { deviceConfig: Buffer.alloc(8), features: [], why: /no block configuration/ },
    { deviceConfig: Buffer.alloc(64, 0xff), features: [], why: /capacity/ },
    { deviceConfig: config(SECTORS, 100), features: [SIZE_MAX], why: /hold no sector/ },
    { deviceConfig: config(SECTORS, 0), features: [SIZE_MAX], why: /hold no sector/ },
  ];
  for (const { why, ...each } of cases) {
    const { options, vfio } = machine(t, { id: 2, serve: () => 0, ...each });
    await t.rejects(VirtioBlk.open(ADDRESS, options), { code: 'ERR_IVSHMEM_VIRTIO_DEVICE', message: why });
    t.equal(vfio.openCount, 0, 'nothing stays open');
  }
  const { options, device } = machine(t, { id: 2, serve: () => 0, deviceConfig: config(8) });
  device.restlessConfig = true;
  await t.rejects(VirtioBlk.open(ADDRESS, options), { code: 'ERR_IVSHMEM_VIRTIO_BROKEN' });
});

t.test('a request under way when the device is closed', async (t) => {
  const disk = new Disk();
  const { options, device } = machine(t, { id: 2, deviceConfig: config(SECTORS), serve: disk.serve });
  const blk = await VirtioBlk.open(ADDRESS, options);
  device.paused = true;
  const write = t.rejects(blk.write(0, randomBytes(512 * 1024)), { code: 'ERR_IVSHMEM_CLOSED' });
  setImmediate(() => blk.close());
  await write;
});
