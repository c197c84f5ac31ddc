import t from 'tap';
import { ConfigSpace } from '../../src/pci/config-space.ts';
import { readVirtioCapabilities } from '../../src/virtio/capabilities.ts';
import { featuresOfWords, featureWord, negotiate } from '../../src/virtio/features.ts';
import { FEATURE } from '../../src/virtio/layout.ts';
import { VirtioRng } from '../../src/virtio/rng.ts';
import { ADDRESS, machine } from './support.ts';

const device = { id: 4, serve: () => 0 };

t.test('§4.1.4: capabilities are read, and claims outside a BAR are not believed', async (t) => {
  const make = (): Buffer => machine(t, { ...device, deviceConfig: Buffer.alloc(16) }).device.pci.config;
  const read = (config: Buffer, barBytes = 0x200) =>
    readVirtioCapabilities(new ConfigSpace(config), (bar) => (bar === 4 ? barBytes : 0), 'dev');
  const good = read(make());
  t.match(good, {
    common: { bar: 4, offset: 0, sizeBytes: 56 },
    isr: { offset: 0x40 },
    device: { offset: 0x80, sizeBytes: 16 },
    notify: { offset: 0x100, multiplier: 4 },
  });
  // The list: MSI-X at 0x40 (12 bytes), common at 0x4c, ISR at 0x5c, notify at 0x6c (20 bytes), device at 0x80.
  const common = 0x4c;
  const notify = 0x6c;
  const damage: [string, (config: Buffer) => void][] = [
    ['a reserved BAR', (c) => c.writeUInt8(6, common + 4)],
    ['a BAR that is absent', (c) => c.writeUInt8(3, common + 4)],
    ['an offset past the end', (c) => c.writeUInt32LE(0x200, common + 8)],
    ['an end past 2^32', (c) => c.writeUInt32LE(0xffffffff, common + 12)],
    ['a length of 0', (c) => c.writeUInt32LE(0, common + 12)],
    ['too short a structure', (c) => c.writeUInt32LE(55, common + 12)],
    ['a misaligned structure', (c) => c.writeUInt32LE(2, common + 8)],
    ['too short a capability', (c) => c.writeUInt8(8, common + 2)],
    ['another type', (c) => c.writeUInt8(9, common + 3)],
    ['a notification capability without multiplier', (c) => c.writeUInt8(16, notify + 2)],
    ['no list', (c) => c.writeUInt16LE(0, 6)],
    ['a list that loops', (c) => c.writeUInt8(common, common + 1)],
    ['a capability at the very end', (c) => c.writeUInt8(0xfc, 0x34)],
  ];
  for (const [name, spoil] of damage) {
    const config = make();
    spoil(config);
    t.throws(() => read(config), { code: 'ERR_IVSHMEM_VIRTIO_DEVICE' }, name);
  }
  t.throws(() => read(make(), 0x80), { code: 'ERR_IVSHMEM_VIRTIO_DEVICE' });
  const bare = make();
  bare.writeUInt32LE(0, 0x80 + 12);
  t.equal(read(bare).device, undefined, 'device configuration may be absent');
});

t.test('§2.2, §6: what is needed, and no more than is offered and wanted', async (t) => {
  const base = [32, 33, 34];
  t.same([...negotiate(new Set([...base, 28, 29, 35]), [29, 40], 'd')].sort(), [29, 32, 33, 34]);
  for (const bit of base) {
    const offered = new Set(base.filter((each) => each !== bit));
    t.throws(() => negotiate(offered, [], 'd'), { code: 'ERR_IVSHMEM_VIRTIO_FEATURES' });
  }
  const features = new Set([0, 31, 32, 63]);
  t.equal(featureWord(features, 0), 0x80000001);
  t.equal(featureWord(features, 1), 0x80000001);
  t.same(featuresOfWords([0x80000001, 0x80000001]), features);
});

t.test(
  'a device that would take our addresses for physical ones is refused, before it has a queue',
  async (t) => {
    const { device: fake, vfio, options } = machine(t, device);
    fake.offered.delete(FEATURE.VIRTIO_F_ACCESS_PLATFORM);
    await t.rejects(VirtioRng.open(ADDRESS, options), {
      code: 'ERR_IVSHMEM_VIRTIO_FEATURES',
      message: /VIRTIO_F_ACCESS_PLATFORM/,
      remedy: /iommu_platform=on/,
    });
    t.notOk(vfio.calls.includes('vfioMapDma'));
    t.equal(vfio.openCount, 0);
  },
);

t.test('no IOMMU, no driving', async (t) => {
  const { options, vfio } = machine(t, device, true);
  await t.rejects(VirtioRng.open(ADDRESS, options), {
    code: 'ERR_IVSHMEM_VIRTIO_FEATURES',
    message: /IOMMU/,
  });
  t.equal(vfio.openCount, 0);
});

t.test('devices that misbehave while being set up', async (t) => {
  type Fake = ReturnType<typeof machine>['device'];
  const cases: [string, (fake: Fake) => void, string][] = [
    ['refuses our features', (f) => (f.refusesFeatures = true), 'ERR_IVSHMEM_VIRTIO_FEATURES'],
    ['refuses vectors', (f) => (f.refusesVectors = true), 'ERR_IVSHMEM_VIRTIO_BROKEN'],
    ['notifies outside its window', (f) => (f.queueNotifyOff = 64), 'ERR_IVSHMEM_VIRTIO_BROKEN'],
    ['is of another type', (f) => f.pci.config.writeUInt16LE(0x1042, 2), 'ERR_IVSHMEM_VIRTIO_DEVICE'],
    ['is of another vendor', (f) => f.pci.config.writeUInt16LE(0x8086, 0), 'ERR_IVSHMEM_VIRTIO_DEVICE'],
  ];
  for (const [name, spoil, code] of cases) {
    const { device: fake, vfio, options } = machine(t, device);
    spoil(fake);
    await t.rejects(VirtioRng.open(ADDRESS, options), { code }, name);
    t.equal(vfio.openCount, 0, `${name}: nothing stays open`);
    t.equal(fake.status, 0, `${name}: the device is reset`);
  }
  for (const spoilt of [{ vectors: 0 }, { queueSize: 1 }]) {
    const { options } = machine(t, { ...device, ...spoilt });
    await t.rejects(VirtioRng.open(ADDRESS, options), { code: 'ERR_IVSHMEM_VIRTIO_DEVICE' });
  }
});

t.test('a transitional device says its type as the subsystem ID', async (t) => {
  const { device: fake, options } = machine(t, device);
  fake.pci.config.writeUInt16LE(0x1005, 2);
  fake.pci.config.writeUInt16LE(4, 0x2e);
  using rng = await VirtioRng.open(ADDRESS, options);
  t.equal(rng.on, ADDRESS);
});
