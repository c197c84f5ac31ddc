import t from 'tap';
import {
  measureDevice,
  measureMemory,
  SCRATCH_BYTES,
  SCRATCH_OFFSET,
} from '../../../src/setup/doctor/bandwidth.ts';
import { ADDRESS, machine } from '../fixtures/machine.ts';

/** A clock that a given number of MB/s would show. */
function clockFor(megabytesPerSecond: number): () => bigint {
  let now = 0;
  return () => {
    now += (2048 * 1000) / megabytesPerSecond;
    return BigInt(Math.round(now));
  };
}

t.test('counts bytes over time and writes only into the scratch bytes', async (t) => {
  const memory = new Uint8Array(1 << 20).fill(7);
  const result = measureMemory(memory, 'resource2', clockFor(100));
  t.equal(result.mapping, 'resource2');
  t.ok(Math.abs(result.readMBps - 100) <= 1 && Math.abs(result.writeMBps - 100) <= 1, JSON.stringify(result));
  for (let i = 0; i < memory.length; i++) {
    const scratch = i >= SCRATCH_OFFSET && i < SCRATCH_OFFSET + SCRATCH_BYTES;
    if (!scratch && memory[i] !== 7) t.fail(`byte ${i} was overwritten`);
  }
});

function reach(fails = false) {
  const log: string[] = [];
  const memory = () => ({ buffer: new ArrayBuffer(1 << 20), close: () => void log.push('close') });
  return {
    log,
    async mapFile(path: string) {
      log.push(path.split('/').at(-1)!);
      if (fails) throw Object.assign(new Error('EACCES: open'), { code: 'EACCES' });
      return memory();
    },
    async open() {
      log.push('open');
      return memory();
    },
  };
}

t.test('measures private memory and both sysfs mappings', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: {} } });
  const way = reach();
  const results = await measureDevice(m.device(), way);
  t.same(
    results.map((item) => item.mapping),
    ['private', 'resource2', 'resource2_wc'],
  );
  t.same(way.log, ['resource2', 'close', 'resource2_wc', 'close']);
  t.equal(m.fake.writes.at(-1), `sys/bus/pci/devices/${ADDRESS}/enable=0`);
});

t.test('where sysfs is closed it goes through VFIO', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: { driver: 'vfio-pci', iommuGroup: 1 } } });
  const way = reach(true);
  t.same(
    (await measureDevice(m.device(), way)).map((item) => item.mapping),
    ['private', 'vfio'],
  );
  t.same(way.log, ['resource2', 'open', 'close']);
  const uio = machine(t, { functions: { [ADDRESS]: { driver: 'uio_pci_generic' } } });
  await t.rejects(measureDevice(uio.device(), reach(true)), { code: 'EACCES' });
});

t.test('the live way fails with the reason where there is no device', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: { driver: 'vfio-pci', iommuGroup: 1 } } });
  await t.rejects(measureDevice(m.device()));
  t.equal(m.device().driver, 'vfio-pci');
});
