import { chmodSync, rmSync } from 'node:fs';
import t, { type Test } from 'tap';
import { describe } from '../../../src/cli/doctor.ts';
import { bindDevices } from '../../../src/setup/bind.ts';
import { uncachableByMtrr } from '../../../src/setup/doctor/cache-trap.ts';
import type { Finding, MemoryBandwidth } from '../../../src/setup/doctor/finding.ts';
import { processorsIn } from '../../../src/setup/doctor/processor.ts';
import { examine } from '../../../src/setup/doctor/run.ts';
import type { FakeMachine } from '../../../src/testing/fake-sysfs.ts';
import { ADDRESS, type Machine, machine, SECOND } from '../fixtures/machine.ts';

const host = { qemu: 'qemu-x', socket: undefined, slots: 64, vectors: 2 };
const bandwidth = (mapping: MemoryBandwidth['mapping'], readMBps: number, writeMBps: number) => ({
  mapping,
  readMBps,
  writeMBps,
});
const fast = async () => [bandwidth('private', 8000, 9000), bandwidth('resource2', 7000, 8000)];

async function find(
  m: Machine,
  name: string,
  measure: () => Promise<MemoryBandwidth[]> = fast,
): Promise<Finding> {
  const report = await examine(m.system, { host, measure });
  return report.findings.find((finding) => finding.name === name)!;
}

function guest(
  t: Test,
  device: FakeMachine['functions'][string] = {},
  rest: Partial<FakeMachine> = {},
): Machine {
  return machine(t, { functions: { [ADDRESS]: device }, ...rest });
}

t.test('a guest that is set up is healthy', async (t) => {
  const m = guest(t, { iommuGroup: 2 });
  bindDevices(m.system, [m.device()], { driver: 'auto' });
  const report = await examine(m.system, { host, measure: fast });
  t.equal(report.role, 'guest');
  t.equal(report.healthy, true);
  t.same(
    report.findings.map(({ name, level }) => `${name}: ${level}`),
    [
      ...['device', 'modules', 'IOMMU group', 'driver', 'lockdown', 'access', 'MSI-X', 'BAR2', 'BAR2 speed'],
      'processors',
    ].map((name) => `${name}: ok`),
  );
});

t.test('without a device: a host, or as a guest a failure', async (t) => {
  const m = machine(t, { functions: {} });
  m.put('proc/self/limits', 'Max open files 1024 1024 files\n');
  const asHost = await examine(m.system, { host });
  t.equal(asHost.role, 'host');
  const meminfo = asHost.findings.find((finding) => finding.found.includes('meminfo'))!;
  t.match(
    meminfo,
    { level: 'failed', found: /check not possible: ENOENT/ },
    'a check that throws is a finding',
  );
  const asGuest = await examine(m.system, { role: 'guest', host });
  t.match(asGuest, { role: 'guest', healthy: false });
  t.match(asGuest.findings, [{ name: 'device', level: 'failed', fix: /-device ivshmem-doorbell/ }]);
});

t.test('two devices are told apart', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: {}, [SECOND]: {} } });
  const report = await examine(m.system, { host, measure: fast });
  t.ok(report.findings.some((finding) => finding.name === `${SECOND} driver`));
  t.match(report.findings[0], { found: `${ADDRESS}, ${SECOND}` });
});

t.test('driver, modules and IOMMU group', async (t) => {
  t.match(await find(guest(t), 'driver'), {
    level: 'failed',
    found: 'none',
    fix: /sudo ivshmem bind 0000:00:05\.0/,
  });
  t.match(await find(guest(t, { driver: 'uio_ivshmem' }), 'driver'), { level: 'failed', fix: /--force/ });
  t.match(await find(guest(t, {}, { modules: [] }), 'modules'), { level: 'failed', fix: /full kernel/ });
  t.match(await find(guest(t), 'IOMMU group'), { level: 'warning', fix: /intel_iommu=on/ });
  const shared = machine(t, {
    functions: { [ADDRESS]: { iommuGroup: 1 }, [SECOND]: { deviceId: 1, iommuGroup: 1, driver: 'e1000' } },
  });
  t.match(await find(shared, 'IOMMU group'), { level: 'failed', found: /e1000/, fix: /root port/ });
});

t.test('lockdown', async (t) => {
  const lockdown = 'none [integrity] confidentiality';
  t.match(await find(guest(t, {}, { lockdown }), 'lockdown'), { level: 'failed', fix: /vfio-pci/ });
  const vfio = guest(t, { iommuGroup: 1, driver: 'vfio-pci' }, { lockdown });
  t.match(await find(vfio, 'lockdown'), { level: 'ok', found: /allowed/ });
});

t.test('access of this user', async (t) => {
  t.match(await find(guest(t), 'access'), { level: 'failed', fix: /bind/ });
  const m = guest(t, { driver: 'uio_pci_generic' });
  t.match(await find(m, 'access'), { level: 'ok', found: /uio0/ });
  if (process.getuid!() === 0) return; // Root may open everything.
  chmodSync(m.device().resourcePath(2), 0);
  t.match(await find(m, 'access'), { level: 'failed', found: /resource2/ });
});

t.test('MSI-X: absent, unused, hidden', async (t) => {
  t.match(await find(guest(t, { vectors: 0 }), 'MSI-X'), {
    level: 'warning',
    found: /ivshmem-plain/,
    fix: /doorbell/,
  });
  t.match(await find(guest(t, { driver: 'uio_pci_generic', vectors: 4 }), 'MSI-X'), {
    level: 'warning',
    found: /4 vectors, unused/,
  });
  const m = guest(t);
  const header = m.device().config().bytes.subarray(0, 64);
  m.put(`sys/bus/pci/devices/${ADDRESS}/config`, header.toString('latin1'));
  t.match(await find(m, 'MSI-X'), { level: 'warning', found: /hidden/, fix: /root/ });
});

t.test('BAR2 size', async (t) => {
  t.match(await find(guest(t, { memoryBytes: 64 << 20 }), 'BAR2'), {
    level: 'ok',
    found: '64 MiB at 0x800000000',
  });
  t.match(await find(guest(t, { memoryBytes: 0 }), 'BAR2'), { level: 'failed', fix: /dmesg/ });
  t.match(await find(guest(t, { memoryBytes: 65536 }), 'BAR2'), { level: 'failed', found: '65536 bytes' });
});

t.test('the cache trap names its cause', async (t) => {
  const slow = async () => [
    bandwidth('private', 8000, 9000),
    bandwidth('resource2', 20, 60),
    bandwidth('resource2_wc', 90, 5000),
  ];
  const m = guest(t);
  t.match(await find(m, 'BAR2 speed', slow), {
    level: 'warning',
    found: /resource2_wc reads 90 MB\/s, writes 5000 MB\/s; reads are uncached/,
    fix: /non-coherent DMA/,
  });
  m.put('proc/cpuinfo', 'vendor_id\t: AuthenticAMD\n');
  t.match(await find(m, 'BAR2 speed', slow), { fix: /KVM on AMD/ });
  m.put('proc/mtrr', 'reg00: base=0x800000000 (32768MB), size= 2048MB, count=1: uncachable\n');
  t.match(await find(m, 'BAR2 speed', slow), { fix: /SeaBIOS/ });
  const writes = async () => [bandwidth('private', 8000, 9000), bandwidth('resource2', 6000, 60)];
  t.match(await find(m, 'BAR2 speed', writes), { level: 'warning', found: /writes are uncached/ });
  const emulated = async () => [bandwidth('private', 900, 800), bandwidth('resource2', 400, 300)];
  t.match(
    await find(m, 'BAR2 speed', emulated),
    { level: 'ok' },
    'slow like everything under TCG is not the trap',
  );
  const tcg = async () => [bandwidth('private', 41, 22), bandwidth('resource2', 3, 10)];
  t.match(await find(m, 'BAR2 speed', tcg), { level: 'ok', found: /no verdict/ });
  const denied = async () => {
    throw new Error('EACCES: open');
  };
  t.match(await find(m, 'BAR2 speed', denied), { level: 'warning', found: /not measured: EACCES/ });
});

t.test('MTRR ranges', async (t) => {
  const text =
    'reg00: base=0x0c0000000 ( 3072MB), size= 1024MB, count=1: uncachable\nreg01: base=0x100000000 ( 4096MB), size=    4KB, count=1: uncachable\nreg02: base=0x000000000 (    0MB), size=    2GB, count=1: write-back\n';
  const at = (address: bigint) => uncachableByMtrr(text, address);
  t.same([0xc0000000n, 0xffffffffn, 0x100000fffn].map(at), [true, true, true]);
  t.same([0xbfffffffn, 0x100001000n, 0x1000n].map(at), [false, false, false]);
});

t.test('the report as text ends each finding with its fix', async (t) => {
  const m = guest(t);
  rmSync(m.device().configPath);
  const lines = describe(await examine(m.system, { host, measure: fast }));
  t.match(lines[0], 'checked as a guest');
  t.match(lines.join('\n'), /failed +MSI-X +check not possible: ENOENT.*\n +fix: /);
  const bad = lines.filter((line) => /^(failed|warning)/.test(line)).length;
  t.equal(lines.filter((line) => line.trim().startsWith('fix: ')).length, bad);
});

t.test('a processor whose atomic instructions are none for others', async (t) => {
  const m = guest(t);
  const clocks = 'sys/devices/system/clocksource/clocksource0/available_clocksource';
  const table = (...entries: number[][]) => String.fromCharCode(...Array(44).fill(0), ...entries.flat());
  const processor = [0, 8, 0, 0, 1, 0, 0, 0];
  const later = [9, 16, ...Array(14).fill(0)];
  const other = [1, 12, ...Array(10).fill(0)];
  const found = (): Promise<Finding> => find(m, 'processors');
  m.put(clocks, 'tsc hpet acpi_pm');
  t.match(await found(), { level: 'ok', found: /only root/ });
  m.put('sys/firmware/acpi/tables/APIC', table(other, processor));
  t.match(await found(), { level: 'warning', fix: /maxcpus=2/ });
  m.put('sys/firmware/acpi/tables/APIC', table(processor, other, later));
  t.match(await found(), { level: 'ok', found: /may be 2/ });
  m.put('sys/firmware/acpi/tables/APIC', table(processor));
  m.put(clocks, 'kvm-clock tsc');
  t.match(await found(), { level: 'ok', found: /real/ });
  t.equal(
    processorsIn(Buffer.from([...Array(44).fill(0), 0, 0, 0, 0])),
    1,
    'a table that makes no sense ends',
  );
});
