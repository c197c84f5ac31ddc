import { existsSync } from 'node:fs';
import t from 'tap';
import { isAlive } from '../../qemu/run-directory.ts';
import { launchVm } from '../../qemu/vm.ts';

t.setTimeout(300_000);

const skip = process.getuid?.() === 0 ? false : 'needs root to build the guest image';

t.test('a guest boots, obeys and leaves nothing behind', { skip }, async (t) => {
  const vm = await launchVm({ name: 'boot' });
  t.teardown(() => vm.kill());
  await vm.ready();

  await t.test('what the image promises', async (t) => {
    t.match(await vm.check('uname -r'), /^\d+\.\d+/);
    t.match(await vm.check('node -v'), /^v(2\d|[3-9]\d)\./);
    t.match(await vm.check(['lspci', '-n']), /1af4:/);
    t.match(await vm.check('ls /sys/kernel/iommu_groups'), /^0$/m, 'the IOMMU is on');
    t.match(
      await vm.check('modprobe vfio-pci && modprobe uio_pci_generic && ls /dev/vfio/vfio'),
      '/dev/vfio/vfio',
    );
    t.equal(await vm.check('hostname'), 'boot\n');
    t.equal(
      await vm
        .check('dd if=/dev/zero bs=1M count=1 of=/probe 2>&1 && wc -c </probe')
        .then((s) => s.split('\n').at(-2)),
      '1048576',
    );
  });

  await t.test('commands: status, streams, input, environment, user, time limit', async (t) => {
    const failed = await vm.run('echo out; echo err >&2; exit 3');
    t.match(failed, { status: 3, stdout: 'out\n', stderr: 'err\n', timedOut: false });
    t.equal(await vm.check(['cat'], { input: 'a\u2028b\n' }), 'a\u2028b\n');
    t.equal(await vm.check('echo $COLOUR in $PWD', { env: { COLOUR: 'red' }, cwd: '/tmp' }), 'red in /tmp\n');
    t.equal(await vm.check('id -u; echo $HOME', { user: 'app' }), '1000\n/home/app\n');
    t.match(await vm.run('sleep 1000 & sleep 1000', { timeout: 500 }), {
      status: null,
      signal: 'SIGKILL',
      timedOut: true,
    });
    t.equal((await vm.check('seq 200000')).length, 1288895, 'a flood of output arrives whole');
    await t.rejects(vm.run(['/no/such/program']), /ENOENT/);
    await t.rejects(vm.run('true', { user: 'nobody-here' }), /no user nobody-here/);
    await vm.put('/tmp/script', '#!/bin/sh\necho put\n', 0o755);
    t.equal(await vm.check(['/tmp/script']), 'put\n');
  });

  await t.test('a program in the background', async (t) => {
    const child = vm.spawn('echo started; read line; echo got $line; sleep 1000');
    await child.waitFor(/started/);
    child.write('word\n');
    t.equal((await child.waitFor(/got (\w+)/))[1], 'word');
    child.kill();
    t.match(await child.wait(), { status: null, signal: 'SIGTERM' });
  });

  await t.test('QMP', async (t) => {
    t.match(await vm.qmp.execute('query-status'), { running: true });
    await t.rejects(vm.qmp.execute('no-such-command'), /has not been found/);
  });

  await vm.powerOff();
  t.notOk(isAlive(vm.pid), 'QEMU is gone');
  t.notOk(existsSync(vm.directory), 'so are its files');
  await t.rejects(vm.run('true'), /the guest is gone/);
});

t.test('what QEMU complains about reaches the caller', { skip }, async (t) => {
  await t.rejects(launchVm({ name: 'bad', devices: ['no-such-device'] }), /no-such-device/);
});
