import t from 'tap';
import { lockdownMode } from '../../src/setup/lockdown.ts';
import { driverAvailable } from '../../src/setup/modules.ts';
import { liveSystem, systemAt } from '../../src/setup/system.ts';
import { findUser } from '../../src/setup/users.ts';
import { machine } from './fixtures/machine.ts';

t.test('asks the name service, and /etc/passwd where there is none', async (t) => {
  const m = machine(t, { functions: {} });
  t.same(findUser(m.system, 'alice'), { uid: 1000, gid: 1001 });
  t.throws(() => findUser(m.system, 'bob'), { code: 'ERR_IVSHMEM_BIND_UNKNOWN_USER', kind: 'usage' });
  m.put('etc/passwd', 'root:x:0:0::/root:/bin/sh\nbob:x:7:8::/:/bin/sh\n');
  const bare = { ...m.system, run: () => ({ status: 127, stdout: '', stderr: '' }) };
  t.same(findUser(bare, 'bob'), { uid: 7, gid: 8 });
  t.same(findUser(bare, '7'), { uid: 7, gid: 8 });
  t.throws(() => findUser(bare, '9'), { code: 'ERR_IVSHMEM_BIND_UNKNOWN_USER' });
});

t.test('finds modules under either spelling, loaded or not', async (t) => {
  const m = machine(t, { functions: {}, modules: ['vfio_pci'], drivers: ['uio_pci_generic'] });
  t.equal(driverAvailable(m.system, 'vfio-pci'), true);
  t.equal(driverAvailable(m.system, 'uio_pci_generic'), true);
  t.equal(driverAvailable({ ...m.system, release: 'other' }, 'vfio-pci'), false);
});

t.test('lockdown modes', async (t) => {
  const mode = (lockdown?: string) =>
    lockdownMode(machine(t, lockdown === undefined ? { functions: {} } : { functions: {}, lockdown }).system);
  t.equal(mode(), 'none');
  t.equal(mode('[none] integrity confidentiality'), 'none');
  t.equal(mode('none integrity [confidentiality]'), 'confidentiality');
  t.equal(mode('gibberish'), 'none');
});

t.test('the live system runs programs and never throws', async (t) => {
  const system = liveSystem();
  t.match(system.run('sh', ['-c', 'echo out; echo err >&2; exit 3']), {
    status: 3,
    stdout: 'out\n',
    stderr: 'err\n',
  });
  t.equal(system.run('no-such-program-here', []).status, 127);
  t.equal(system.run('sleep', ['30'], 50).status, 128);
  t.equal(system.run('sh', ['-c', 'kill -9 $$']).status, 128);
  t.equal(system.path('/dev/null'), '/dev/null');
  const root = t.testdir({ file: '' });
  const here = systemAt(root);
  const owner = here.owner(here.path('/file'));
  here.chown(here.path('/file'), owner);
  t.same(owner, { uid: process.getuid!(), gid: process.getgid!() });
});
