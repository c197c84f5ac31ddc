import { createHash } from 'node:crypto';
import { createReadStream, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { buildPayload } from '../../guest-image/payload.ts';
import { guestProgram, productFiles } from '../../qemu/product.ts';
import { launchVm } from '../../qemu/vm.ts';
import { lastJson } from './support/fleet.ts';

t.setTimeout(600_000);

const MIB = 1 << 20;
const DISK_MIB = 64;
const [RNG, BLK, UNSAFE] = ['0000:00:10.0', '0000:00:11.0', '0000:00:12.0'];
const modern = 'packed=on,iommu_platform=on,disable-legacy=on';
const entry = fileURLToPath(new URL('guest/virtio.ts', import.meta.url));
const skip = process.getuid?.() === 0 ? false : 'needs root to build the guest image';

/** Gives a device of any kind to vfio-pci and its group to the user `app`. */
const bind = (address: string): string => `
  cd /sys/bus/pci/devices/${address}
  echo vfio-pci > driver_override
  if [ -e driver ]; then echo ${address} > driver/unbind; fi
  echo ${address} > /sys/bus/pci/drivers_probe
  chown app /dev/vfio/$(basename $(readlink iommu_group))`;

async function digestOf(path: string, bytes: number): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { end: bytes - 1 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

t.test("QEMU's own devices judge our driver, as an unprivileged user", { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ivshmem-virtio-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const disk = join(directory, 'disk.img');
  writeFileSync(disk, '');
  truncateSync(disk, DISK_MIB * MIB);

  const vm = await launchVm({
    name: 'virtio',
    payload: await buildPayload(await productFiles({ virtio: entry })),
    arguments: ['-drive', `file=${disk},format=raw,if=none,id=disk`],
    devices: [
      `virtio-rng-pci,addr=0x10,${modern}`,
      `virtio-blk-pci,addr=0x11,drive=disk,${modern}`,
      'virtio-rng-pci,addr=0x12,packed=on,disable-legacy=on',
    ],
  });
  t.teardown(() => vm.kill());
  await vm.ready();
  await vm.check('modprobe vfio-pci');
  for (const address of [RNG, BLK, UNSAFE]) await vm.check(bind(address!));
  const drive = (...words: (string | number)[]) =>
    vm.run(guestProgram('virtio', ...words.map(String)), { user: 'app', timeout: 300_000 });

  await t.test('entropy', async (t) => {
    const { status, stdout, stderr } = await drive('rng', RNG!, 65536);
    t.equal(status, 0, stderr);
    t.match(lastJson(stdout), { bytes: 65536, distinct: 256 });
  });

  for (const { mode, mebibytes } of [
    { mode: 'chained', mebibytes: 8 },
    { mode: 'indirect', mebibytes: DISK_MIB },
  ])
    await t.test(`block, ${mode}: ${mebibytes} MiB written, read back, and seen by the host`, async (t) => {
      const { status, stdout, stderr } = await drive('blk', BLK!, mebibytes, mode);
      t.equal(status, 0, stdout + stderr);
      const result = lastJson<{ features: number[]; written: string; read: string }>(stdout);
      t.comment(JSON.stringify(result));
      t.match(result, { capacity: (DISK_MIB * MIB) / 512 });
      t.ok(
        [32, 33, 34].every((bit) => result.features.includes(bit)),
        'modern, through the IOMMU, packed',
      );
      t.equal(result.features.includes(28), mode === 'indirect', 'VIRTIO_F_INDIRECT_DESC');
      t.equal(result.read, result.written);
      t.equal(await digestOf(disk, mebibytes * MIB), result.written, 'the bytes are in the image');
    });

  await t.test('a device that bypasses the IOMMU is refused before it is told any address', async (t) => {
    const { status, stdout } = await drive('rng', UNSAFE!, 16);
    t.equal(status, 1);
    t.match(lastJson(stdout), { code: 'ERR_IVSHMEM_VIRTIO_FEATURES', message: /ACCESS_PLATFORM/ });
  });

  await t.test('a device that somebody holds is busy', async (t) => {
    const holder = vm.spawn(
      `exec 3<>/dev/vfio/$(basename $(readlink /sys/bus/pci/devices/${RNG}/iommu_group)); echo held; sleep 1000`,
    );
    await holder.waitFor(/held/);
    const { status, stdout } = await drive('rng', RNG!, 16);
    holder.kill();
    await holder.wait();
    t.equal(status, 1);
    t.match(lastJson(stdout), { code: 'ERR_IVSHMEM_GROUP_BUSY' });
  });

  await vm.powerOff();
});
