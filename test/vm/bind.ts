import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { RunResult } from '../../qemu/agent-client.ts';
import { Fleet, member } from './support/fleet.ts';
import { Talker } from './support/talker.ts';

t.setTimeout(900_000);
const skip = process.getuid?.() === 0 ? false : 'needs root to build the guest image';

interface Status {
  readonly devices: readonly {
    readonly address: string;
    readonly variant: string;
    readonly vectors: number | null;
    readonly region: string | null;
    readonly driver: string | null;
    readonly driverOverride: string | null;
    readonly recorded: boolean;
    readonly nodes: readonly { readonly path: string; readonly uid: number }[];
    readonly holders: readonly { readonly name: string }[];
  }[];
}

interface Report {
  readonly role: string;
  readonly healthy: boolean;
  readonly findings: readonly { name: string; level: string; found: string; fix?: string }[];
}

t.test('ivshmem bind, unbind, status and doctor in a guest', { skip }, async (t) => {
  const fleet = await Fleet.create(t);
  const memory = join(fleet.directory, 'plain');
  writeFileSync(memory, '');
  truncateSync(memory, 1 << 20);
  const vm = await fleet.boot('bind', {
    // Most of the time is the start of programs, some of them side by side.
    cpus: 2,
    ivshmem: [
      { kind: 'doorbell', server: fleet.socket },
      { kind: 'plain', memory, size: 1 << 20 },
    ],
  });
  const status = async () => (JSON.parse(await vm.check('ivshmem status --json')) as Status).devices;
  const before = await status();
  const doorbell = before.find(({ variant }) => variant === 'doorbell')!.address;
  const plain = before.find(({ variant }) => variant === 'plain')!.address;
  const of = async (address: string) => (await status()).find((device) => device.address === address)!;
  const fails = (t: Test, result: RunResult, exit: number, code: string, why: RegExp): void => {
    t.equal(result.status, exit, result.stdout);
    t.match(result.stderr, `[ERR_IVSHMEM_${code}]`);
    t.match(result.stderr, why);
  };

  await t.test('status of devices nobody has bound', async (t) => {
    t.equal(before.length, 2);
    const [first, second] = [doorbell, plain].map((at) => before.find(({ address }) => address === at));
    t.match(first, { vectors: 2, region: 'fleet', driver: null, recorded: false, nodes: [] });
    t.match(second, { vectors: null, region: null, driver: null, recorded: false });
    t.match(await vm.check('ivshmem status', { user: 'app' }), doorbell, 'anybody may look');
  });

  await t.test('errors, and a dry run, change nothing', async (t) => {
    const plan = vm.check(`ivshmem bind ${doorbell} --user app --dry-run`);
    await Promise.all([
      vm
        .run('ivshmem bind')
        .then((r) => fails(t, r, 2, 'DEVICE_AMBIGUOUS', /by its PCI address or by its region name/)),
      vm
        .run(`ivshmem bind ${doorbell}`, { user: 'app' })
        .then((r) => fails(t, r, 1, 'BIND_NOT_ROOT', /sudo/)),
      vm.run('ivshmem bind 0000:00:1f.7').then((r) => fails(t, r, 1, 'DEVICE_ABSENT', /0000:00:1f\.7/)),
      vm.run('ivshmem bind elsewhere').then((r) => fails(t, r, 1, 'DEVICE_ABSENT', /"elsewhere".*"fleet"/)),
      vm
        .run(`ivshmem bind ${doorbell} --user nobody-here`)
        .then((r) => fails(t, r, 2, 'BIND_UNKNOWN_USER', /nobody-here/)),
      vm.run('ivshmem bind --driver igb_uio').then((r) => fails(t, r, 2, 'CLI_USAGE', /vfio-pci/)),
    ]);
    t.match(await plan, /would .*vfio-pci/);
    t.strictSame(await status(), before);
  });

  for (const { driver, first, again } of [
    { driver: 'vfio-pci', first: doorbell, again: 'fleet' },
    { driver: 'uio_pci_generic', first: 'fleet', again: doorbell },
  ])
    await t.test(`${driver}, by ${first} and by ${again}`, async (t) => {
      const bind = (selector: string) => vm.check(`ivshmem bind ${selector} --driver ${driver} --user app`);
      t.match(await bind(first), `${doorbell} is bound to ${driver}`);
      const bound = await of(doorbell);
      t.match(bound, { driver, driverOverride: driver, recorded: true, region: 'fleet' });
      t.ok(
        bound.nodes.length > 0 && bound.nodes.every(({ uid }) => uid === 1000),
        'all its files are of app',
      );
      const device: Record<string, string> =
        first === doorbell ? { MEMBER_ADDRESS: doorbell } : { MEMBER_REGION: 'fleet' };
      const words = member('ask', 'stranger', 'nobody', 1, 'adaptive');
      const [stranger] = await Promise.all([
        vm.run(words, { user: 'nobody', env: device }),
        bind(again).then(async (said) => {
          t.match(said, `${doorbell} is already bound to ${driver}`, 'again: nothing to do');
          t.strictSame(await of(doorbell), bound);
        }),
      ]);
      t.equal(stranger.status, 1);
      t.match(stranger.stderr, /ERR_IVSHMEM_ACCESS_DENIED/, 'another user is refused');
      t.match(stranger.stderr, /ivshmem bind --user/, 'and told what to do');

      const talker = await Talker.inVm(vm, 'app', { env: device });
      t.match(await talker.ready(), { kind: driver === 'vfio-pci' ? 'vfio' : 'uio' });
      if (driver === 'vfio-pci') {
        fails(t, await vm.run(`ivshmem unbind ${doorbell}`), 1, 'BIND_IN_USE', /node \(pid \d+\)/);
        t.match(await of(doorbell), { driver, holders: [{ name: /node/ }] }, 'status names who has it open');
      }
      t.notOk((await talker.order('close')).failed);
      t.equal(await talker.ended(), 0);

      const { status: exit, stdout } = await vm.run('ivshmem doctor --json');
      const report = JSON.parse(stdout) as Report;
      t.equal(report.role, 'guest');
      const finding = (device: string, name: string) =>
        report.findings.find((each) => each.name === `${device} ${name}`);
      t.match(finding(doorbell, 'driver'), { level: 'ok', found: driver });
      t.match(finding(doorbell, 'MSI-X'), { level: driver === 'vfio-pci' ? 'ok' : 'warning' });
      t.match(finding(doorbell, 'BAR2'), { level: 'ok', found: /64 MiB/ });
      t.match(finding(plain, 'driver'), { level: 'failed', found: 'none', fix: /ivshmem bind/ });
      t.ok(
        report.findings.every(({ level, fix }) => level === 'ok' || fix),
        'what is not ok has a fix',
      );
      t.match({ exit, healthy: report.healthy }, { exit: 1, healthy: false }, 'the other device fails');

      t.match(await vm.check(`ivshmem unbind ${first}`), `${doorbell} has no driver`);
      t.match(await vm.check(`ivshmem unbind ${again}`), `${doorbell} has no driver`, 'again: nothing to do');
      t.strictSame(await status(), before, 'all is as it was found');
    });

  await t.test('every device at once, from one driver to the other, and a healthy guest', async (t) => {
    await vm.check('ivshmem bind --all --driver uio_pci_generic --user app');
    await vm.check('ivshmem bind --all --driver vfio-pci --user app');
    t.strictSame(
      (await status()).map(({ driver }) => driver),
      ['vfio-pci', 'vfio-pci'],
    );
    fails(t, await vm.run('ivshmem unbind'), 2, 'DEVICE_AMBIGUOUS', new RegExp(plain));
    const report = JSON.parse(await vm.check('ivshmem doctor --json')) as Report;
    t.equal(report.healthy, true);
    await vm.check('ivshmem unbind --all');
    t.strictSame(await status(), before);
  });

  t.strictSame(await fleet.finish(), [], 'no QEMU is left');
});
