import { mkdirSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import type { HostContext } from '../../../src/setup/doctor/finding.ts';
import {
  checkConfinement,
  checkDescriptors,
  checkHugePages,
  checkKvm,
  checkQemu,
  checkSharedMemory,
} from '../../../src/setup/doctor/host-machine.ts';
import { checkServerSocket } from '../../../src/setup/doctor/host-socket.ts';
import type { Outcome } from '../../../src/setup/system.ts';
import { type Machine, machine } from '../fixtures/machine.ts';

function host(
  t: Test,
  run?: (command: string, args: readonly string[]) => Outcome,
): { m: Machine; context: HostContext } {
  const m = machine(t, { functions: {} }, run === undefined ? {} : { run });
  return { m, context: { system: m.system, qemu: 'qemu-x', socket: undefined, slots: 64, vectors: 2 } };
}

t.test('QEMU: absent, without the device, fine', async (t) => {
  const outcome = (status: number, stdout = '') => ({ status, stdout, stderr: '' });
  t.match(await checkQemu(host(t, () => outcome(127)).context), {
    level: 'failed',
    found: /qemu-x does not run/,
    fix: /apt/,
  });
  const answer = (devices: string) => (_: string, args: readonly string[]) =>
    outcome(0, args[0] === '--version' ? 'QEMU emulator version 9.9\nCopyright' : devices);
  t.match(await checkQemu(host(t, answer('name "ivshmem-plain"')).context), { level: 'failed', fix: /RHEL/ });
  const good = await checkQemu(host(t, answer('name "ivshmem-doorbell", bus PCI')).context);
  t.match(good, { level: 'ok', found: 'QEMU emulator version 9.9, with ivshmem-doorbell' });
});

t.test('KVM: absent, not a device this user may open, fine', async (t) => {
  const { m, context } = host(t);
  t.match(await checkKvm(context), { level: 'warning', fix: /modprobe kvm/ });
  m.put('dev/kvm', '');
  t.match(await checkKvm(context), { level: 'ok' });
  const other = host(t);
  mkdirSync(other.m.system.path('/dev/kvm'));
  t.match(await checkKvm(other.context), { level: 'warning', found: /EISDIR/, fix: /group kvm/ });
});

t.test('descriptors are compared with slots x vectors', async (t) => {
  const { m, context } = host(t);
  const limits = (soft: string, hard: string) =>
    m.put(
      'proc/self/limits',
      `Limit  Soft  Hard  Units\nMax open files            ${soft}      ${hard}    files\n`,
    );
  limits('1024', '4096');
  t.match(await checkDescriptors(context), { level: 'ok', found: /64 slots x 2 vectors take up to 384/ });
  const many = { ...context, slots: 256, vectors: 8 };
  t.match(await checkDescriptors(many), { level: 'warning', fix: /ulimit -n 2304/ });
  limits('1024', '1024');
  t.match(await checkDescriptors(many), { level: 'failed' });
  limits('unlimited', 'unlimited');
  t.match(await checkDescriptors(many), { level: 'ok' });
});

t.test('/dev/shm and huge pages', async (t) => {
  const { m, context } = host(t);
  t.match(await checkSharedMemory(context), { level: 'warning', found: /absent/ });
  mkdirSync(m.system.path('/dev/shm'));
  t.match(await checkSharedMemory(context), { found: /\d+ MiB free of \d+ MiB/ });
  const full = { ...m.system, path: (path: string) => (path === '/dev/shm' ? '/proc' : path) };
  t.match(await checkSharedMemory({ ...context, system: full }), {
    level: 'warning',
    found: /^0 MiB free/,
    fix: /remount/,
  });
  m.put('proc/meminfo', 'HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\n');
  t.match(await checkHugePages(context), { level: 'ok', found: /none reserved/ });
  m.put('proc/meminfo', 'HugePages_Total:      8\nHugePages_Free:        0\nHugepagesize:       2048 kB\n');
  t.match(await checkHugePages(context), { level: 'warning', fix: /nr_hugepages/ });
  m.put('proc/meminfo', 'HugePages_Total:      8\nHugePages_Free:        3\nHugepagesize:       2048 kB\n');
  t.match(await checkHugePages(context), { level: 'ok', found: '3 of 8 free, 2048 kB each' });
});

t.test('confinement of libvirt', async (t) => {
  const { m, context } = host(t);
  t.match(await checkConfinement(context), { level: 'ok', found: 'not installed' });
  mkdirSync(m.system.path('/etc/libvirt'), { recursive: true });
  t.match(await checkConfinement(context), { level: 'ok', found: /neither/ });
  m.put('sys/fs/selinux/enforce', '1');
  t.match(await checkConfinement(context), { level: 'warning', fix: /semanage/ });
  m.put('sys/module/apparmor/parameters/enabled', 'Y\n');
  t.match(await checkConfinement(context), { level: 'warning', fix: /libvirt-qemu/ });
});

t.test('server socket: what a connection finds', async (t) => {
  const { m, context } = host(t);
  t.match(await checkServerSocket(context), { level: 'warning', fix: /IVSHMEM_SOCKET/ });
  const at = (socket: string) => checkServerSocket({ ...context, socket });
  t.match(await at('/run/none.sock'), { level: 'failed', found: /absent/ });
  m.put('run/file.sock', '');
  t.match(await at('/run/file.sock'), { level: 'failed', found: /not a socket/ });
  t.match(await at(`@ivshmem-test-nobody-${process.pid}`), { level: 'failed', found: /ECONNREFUSED/ });
  const version = (value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(value);
    return bytes;
  };
  const cases: [(connection: Socket) => void, object][] = [
    [(connection) => connection.write(version(0n)), { level: 'ok', found: /protocol version 0/ }],
    [
      (connection) => connection.write(version(1n)),
      { level: 'failed', found: /not an ivshmem server or refuses/ },
    ],
    [(connection) => connection.end(), { level: 'failed', found: /closed the connection/ }],
    [() => {}, { level: 'failed', found: /sent nothing/ }],
  ];
  for (const [index, [answer, expected]] of cases.entries()) {
    const name = `ivshmem-test-${process.pid}-${index}`;
    const server = createServer((connection) => {
      connection.on('error', () => {});
      answer(connection);
    });
    await new Promise<void>((resolve) => server.listen(`\0${name}`, resolve));
    t.match(await at(`@${name}`), expected);
    server.close();
  }
});
