import { readdirSync } from 'node:fs';
import t, { type Test } from 'tap';
import { binding } from '../../src/native/binding.ts';
import type { FakeBar } from '../../src/testing/fake-pci-device.ts';
import { VfioContainer } from '../../src/vfio/container.ts';
import type { VfioDevice } from '../../src/vfio/device.ts';
import { ADDRESS, ivshmem, MEMORY_BYTES, machine } from './support.ts';

/** Registers that remember each access. */
class Registers implements FakeBar {
  readonly sizeBytes = 64;
  readonly accesses: [string, number, number, number][] = [];
  read(offset: number, width: number): number {
    this.accesses.push(['read', offset, width, 0]);
    return 0x12345678 & (width === 1 ? 0xff : width === 2 ? 0xffff : 0x7fffffff);
  }
  write(offset: number, width: number, value: number): void {
    this.accesses.push(['write', offset, width, value]);
  }
}

function open(t: Test, registers?: Registers) {
  const fake = registers === undefined ? ivshmem(t) : ivshmem(t, { bars: [registers] });
  const { vfio, bar } = machine(t, [fake]);
  const container = VfioContainer.open(vfio);
  t.teardown(() => container.close());
  const device: VfioDevice = container.openGroup(5).openDevice(ADDRESS);
  return { fake, vfio, bar, device };
}

t.test('maps a BAR; each register access has its width', async (t) => {
  const { device, fake, bar } = open(t);
  const region = device.region(0);
  t.match(region, { sizeBytes: 256, mappable: true, readable: true, writable: true, index: 0 });
  t.equal(device.region(0), region);
  const mapping = region.map();
  t.equal(region.map(), mapping);
  const other = new DataView(bar(fake, 0).buffer);
  region.write8(1, 0xab);
  region.write16(2, 0xcdef);
  region.write32(4, 0x89abcdef);
  region.write64(8, 0x0123456789abcdefn);
  t.equal(other.getUint32(0, true), 0xcdefab00);
  t.equal(other.getUint32(4, true), 0x89abcdef);
  t.equal(other.getBigUint64(8, true), 0x0123456789abcdefn);
  t.equal(region.read8(1), 0xab);
  t.equal(region.read16(2), 0xcdef);
  t.equal(region.read32(4), 0x89abcdef);
  t.equal(region.read64(8), 0x0123456789abcdefn);
  t.same([...region.readBytes(1, 3)], [0xab, 0xef, 0xcd]);
});

t.test('without a mapping by pread and pwrite, each one access of its width', async (t) => {
  const registers = new Registers();
  const { device } = open(t, registers);
  const region = device.region(0);
  t.equal(region.mappable, false);
  t.equal(region.read8(3), 0x78);
  t.equal(region.read16(2), 0x5678);
  t.equal(region.read32(4), 0x12345678);
  t.equal(typeof region.read64(8), 'bigint');
  region.write8(1, 7);
  region.write16(2, 0x1234);
  region.write32(12, 0xfffffffe);
  t.same(registers.accesses, [
    ['read', 3, 1, 0],
    ['read', 2, 2, 0],
    ['read', 4, 4, 0],
    ['read', 8, 8, 0],
    ['write', 1, 1, 7],
    ['write', 2, 2, 0x1234],
    ['write', 12, 4, 0xfffffffe],
  ]);
  t.throws(() => region.map(), { code: 'ERR_IVSHMEM_VFIO' });
});

t.test('accesses outside, misaligned, refused by the kernel, cut short', async (t) => {
  const { device, vfio } = open(t, new Registers());
  const region = device.region(0);
  for (const access of [
    () => region.read32(64),
    () => region.read32(62),
    () => region.read16(1),
    () => region.read64(4),
    () => region.write8(-1, 0),
    () => region.read8(Number.NaN),
    () => region.read8(0.5),
    () => region.readBytes(60, 5),
  ])
    t.throws(access, { code: 'ERR_IVSHMEM_REGION_ACCESS', kind: 'usage' });
  t.throws(() => device.region(3).read8(0), { code: 'ERR_IVSHMEM_REGION_ACCESS' }, 'a BAR that is absent');
  vfio.failures.set('read', 'EIO');
  t.throws(() => region.read32(0), { code: 'ERR_IVSHMEM_VFIO', remedy: /plugged in/ });
  vfio.failures.clear();
  vfio.write = () => 2;
  t.throws(() => region.write32(0, 1), { code: 'ERR_IVSHMEM_VFIO', message: /2 of 4 bytes/ });
});

t.test('configuration space: Command, MSI-X', async (t) => {
  const { device, fake } = open(t);
  t.equal(device.config().memorySpace, false);
  device.enableMemorySpace();
  device.enableBusMaster();
  t.equal(fake.config.readUInt16LE(4), 6);
  t.match(device.config(), { vendorId: 0x1af4, deviceId: 0x1110, memorySpace: true, busMaster: true });
  t.equal(device.msix()?.vectors, 2);
  t.match(device, { resettable: true, regionCount: 9, irqCount: 5 });
  device.reset();
});

t.test('interrupts arrive on eventfds until disabled', async (t) => {
  const { device, fake, vfio } = open(t);
  const irq = device.msixIrq;
  t.equal(irq.count, 2);
  const eventfds = irq.enable();
  t.equal(eventfds.length, 2);
  fake.interrupt(undefined, 1);
  t.equal(binding.eventfdDrain(eventfds[1]!), 1);
  t.equal(binding.eventfdDrain(eventfds[0]!), 0);
  t.throws(() => irq.enable(), { message: /enabled already/ });
  irq.disable();
  irq.disable();
  fake.interrupt(undefined, 1);
  t.equal(binding.eventfdDrain(eventfds[1]!), 0);
  t.equal(irq.enable(1)[0], eventfds[0], 'the eventfds are kept for the next time');
  for (const count of [0, 3]) {
    irq.disable();
    t.throws(() => irq.enable(count), { message: /the device has 2/ });
  }
  vfio.failures.set('vfioSetIrqEventfds', 'ENOSPC');
  t.throws(() => irq.enable(), { code: 'ERR_IVSHMEM_VFIO' });
  device.close();
  t.throws(() => irq.enable(), { code: 'ERR_IVSHMEM_CLOSED' });
  t.throws(() => device.msixIrq, { code: 'ERR_IVSHMEM_CLOSED' });
});

t.test('the request interrupt, and a release that leaves memory standing', async (t) => {
  const { device, fake, vfio } = open(t);
  const mapping = device.region(2).map();
  const words = new Int32Array(mapping.buffer);
  const [eventfd] = device.msixIrq.enable(1);
  words[0] = 42;
  // The watch does not keep the process alive: something else has to.
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  const requested = new Promise<void>((resolve) => t.equal(device.onRequest(resolve), true));
  vfio.request(fake);
  await requested;
  device.release();
  device.release();
  t.equal(fake.closes, 1, 'the kernel has it back');
  t.equal(words.length, MEMORY_BYTES / 4);
  t.equal(words[0], 0, 'zero pages');
  words[0] = 1;
  t.equal(binding.eventfdDrain(eventfd!), 0, 'the eventfd is still one');
  t.throws(() => device.region(2), { code: 'ERR_IVSHMEM_CLOSED' });
  device.close();
  t.equal(words.length, 0);
  t.equal(fake.closes, 1);
});

t.test('close: an index that cannot be disabled costs the others no descriptor', async (t) => {
  const { device, vfio } = open(t);
  const before = readdirSync('/proc/self/fd').length;
  device.msixIrq.enable();
  t.ok(device.onRequest(() => {}));
  vfio.failures.set('vfioDisableIrqs 2', 'EIO');
  t.throws(() => device.close(), { code: 'ERR_IVSHMEM_VFIO', message: /disable/ });
  t.equal(readdirSync('/proc/self/fd').length, before);
});

t.test('registers after a release read as zero, after close they are refused', async (t) => {
  const { device } = open(t, new Registers());
  const region = device.region(0);
  device.release();
  t.equal(region.read32(0), 0);
  region.write32(0, 1);
  t.same([...region.readBytes(0, 2)], [0, 0]);
  device.close();
  t.throws(() => region.read32(0), { code: 'ERR_IVSHMEM_CLOSED' });
  t.throws(() => region.map(), { code: 'ERR_IVSHMEM_CLOSED' });
});

t.test('kernels without a request interrupt', async (t) => {
  const first = open(t);
  first.vfio.vfioIrqInfo = () => ({ flags: 1, count: 0 });
  t.equal(first.device.onRequest(t.fail), false);
  const fake = ivshmem(t);
  const { vfio } = machine(t, [fake]);
  vfio.vfioDeviceInfo = () => ({ flags: 2, regions: 9, irqs: 3 });
  using container = VfioContainer.open(vfio);
  const device = container.openGroup(5).openDevice(ADDRESS);
  t.equal(device.resettable, false);
  t.equal(device.onRequest(t.fail), false);
});
