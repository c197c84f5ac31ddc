import { mkdirSync } from 'node:fs';
import { Command } from 'commander';
import t, { type Test } from 'tap';
import { register as bind } from '../../src/cli/bind.ts';
import { register as doctor } from '../../src/cli/doctor.ts';
import { output } from '../../src/cli/print.ts';
import { register as status } from '../../src/cli/status.ts';
import { register as unbind } from '../../src/cli/unbind.ts';
import { ADDRESS, type Machine, machine, SECOND } from '../setup/fixtures/machine.ts';

/** Runs a command line in this process on a fake machine and returns what it printed on stdout. */
async function run(t: Test, m: Machine, ...args: string[]): Promise<string> {
  const program = new Command('ivshmem').exitOverride().configureOutput({ outputError: () => {} });
  for (const register of [bind, unbind, status, doctor]) register(program, () => m.system);
  let text = '';
  t.intercept(output, 'write', {
    value: (more: string) => {
      text += more;
    },
  });
  await program.parseAsync(args, { from: 'user' });
  return text;
}

t.test('bind, status and unbind tell what they do', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: { iommuGroup: 2 } } });
  await t.test('dry run', async (t) => {
    const text = await run(t, m, 'bind', '--dry-run', '--user', 'alice');
    t.match(text, /0000:00:05\.0: would bind the device to vfio-pci\n.*would give alice/);
    t.notMatch(text, /is bound/);
  });
  await t.test('bind twice', async (t) => {
    t.match(
      await run(t, m, 'bind', '--user', 'alice'),
      /0000:00:05\.0 is bound to vfio-pci: .*\/dev\/vfio\/2\n$/,
    );
  });
  await t.test('again', async (t) => t.match(await run(t, m, 'bind'), /is already bound to vfio-pci/));
  await t.test('status', async (t) => {
    t.match(await run(t, m, 'status'), /ivshmem-doorbell rev 1[\s\S]*vfio-pci \(by ivshmem bind\)/);
  });
  await t.test('one by address', async (t) => {
    t.match(JSON.parse(await run(t, m, 'status', '--json', ADDRESS)), {
      devices: [{ driver: 'vfio-pci' }],
      units: [],
    });
  });
  await t.test('unbind, dry', async (t) =>
    t.match(await run(t, m, 'unbind', '--dry-run'), /would take the device from/),
  );
  await t.test('unbind', async (t) => t.match(await run(t, m, 'unbind'), /0000:00:05\.0 has no driver\n$/));
  await t.test('unbind again', async (t) => t.equal(await run(t, m, 'unbind'), 'nothing is bound\n'));
});

t.test('--persist writes units, unbind keeps or removes them', async (t) => {
  const m = machine(t, {
    functions: { [ADDRESS]: {}, [SECOND]: { driver: 'old', native: 'old' } },
    noIommu: true,
  });
  mkdirSync(m.system.path('/run/systemd/system'), { recursive: true });
  await t.test('dry', async (t) => {
    const text = await run(t, m, 'bind', '--persist', '--dry-run', ADDRESS);
    t.match(text, /would write .*ivshmem-bind-0000-3a00-3a05\.0\.service\n[\s\S]*would enable/);
    t.match(await run(t, m, 'status', '--json'), /"units": \[\]/);
  });
  await t.test('bind all', async (t) => {
    const flags = [
      '--persist',
      '--all',
      '--force',
      '--no-iommu',
      '--driver',
      'vfio-pci',
      '--user',
      'alice',
      '--json',
    ];
    const result = JSON.parse(await run(t, m, 'bind', ...flags));
    t.match(result, { devices: [{ driver: 'vfio-pci' }, { driver: 'vfio-pci' }] });
    t.equal(result.persist.length, 3);
  });
  await t.test('status', async (t) => t.match(await run(t, m, 'status'), /at boot: ivshmem-bind\.service/));
  await t.test('unbind one', async (t) => {
    const text = await run(t, m, 'unbind', SECOND);
    t.match(text, /0000:00:06\.0 is back with old\n.*ivshmem-bind\.service will bind again/);
  });
  await t.test('unbind the rest', async (t) => {
    t.match(JSON.parse(await run(t, m, 'unbind', '--all', '--persist', '--json')), {
      units: [],
      persist: { length: 3 },
    });
  });
  await t.test('none left', async (t) => t.notMatch(await run(t, m, 'status'), /at boot/));
});

t.test('a machine that cannot persist is not left bound', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: {} } });
  await t.rejects(run(t, m, 'bind', '--persist'), { code: 'ERR_IVSHMEM_BIND_PERSIST' });
  t.equal(m.device().driver, undefined);
  await t.test('status of none', async (t) => {
    const none = machine(t, { functions: {} });
    t.equal(await run(t, none, 'status'), 'no ivshmem device in this machine\n');
  });
});

t.test('doctor reports and sets the exit status', async (t) => {
  t.teardown(() => {
    process.exitCode = 0;
  });
  const m = machine(t, { functions: {} });
  await t.test('guest', async (t) => {
    t.match(await run(t, m, 'doctor', '--guest'), /failed +device +there is no[\s\S]*fix: Start the VM/);
    t.equal(process.exitCode, 1);
  });
  process.exitCode = 0;
  await t.test('host', async (t) => {
    const report = JSON.parse(
      await run(t, m, 'doctor', '--host', '--json', '--slots', '8', '--socket', '/none'),
    );
    t.equal(report.role, 'host');
    t.ok(report.findings.some((finding: { found: string }) => finding.found === '/none is absent'));
  });
  await t.rejects(run(t, m, 'doctor', '--vectors', 'many'), { code: 'commander.invalidArgument' });
  await t.rejects(run(t, m, 'doctor', '--guest', '--host'), { code: 'commander.conflictingOption' });
});
