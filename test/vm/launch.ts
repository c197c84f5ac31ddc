import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { checkout } from '../../guest-image/cache.ts';
import { command } from '../../guest-image/command.ts';
import { Bridge, cable } from '../../qemu/network.ts';
import { isAlive, runDirectory } from '../../qemu/run-directory.ts';
import { launchVm, type Vm } from '../../qemu/vm.ts';
import { testFolder } from '../support/test-folder.ts';

t.setTimeout(300_000);
const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces and the guest image';

const ping = (vm: Vm, address: string) => vm.check(`busybox ping -c 3 -W 60 ${address}`);

t.test('two guests on a bridge in a namespace, and a device plugged in', { skip }, async (t) => {
  const memory = join(testFolder(t), 'region');
  writeFileSync(memory, Buffer.alloc(1 << 20));
  const bridge = await Bridge.create();
  t.teardown(() => bridge.close().catch(() => {}));
  const vms: Vm[] = [];
  t.teardown(() => Promise.all(vms.map((vm) => vm.kill())));
  const ivshmem = [{ kind: 'plain', memory, size: 1 << 20 }] as const;
  vms.push(await launchVm({ name: 'one', network: await bridge.attach(), ivshmem }));
  vms.push(await launchVm({ name: 'two', network: await bridge.attach(), ports: 1 }));
  const [one, two] = await Promise.all(vms.map((vm) => vm.ready()));
  t.match(await ping(one!, '10.77.0.2'), / 0% packet loss/);
  t.match(await ping(two!, '10.77.0.254'), / 0% packet loss/);
  t.match(await one!.check(['lspci', '-nd', '1af4:1110']), /1af4:1110/, 'there at boot');

  t.equal(await two!.check(['lspci', '-nd', '1af4:1110']), '');
  const size = 1 << 20;
  await two!.qmp.execute('object-add', {
    'qom-type': 'memory-backend-file',
    id: 'm',
    share: true,
    'mem-path': memory,
    size,
  });
  await two!.qmp.execute('device_add', { driver: 'ivshmem-plain', id: 'hot', bus: 'port0', memdev: 'm' });
  const appear = 'until lspci -nd 1af4:1110 | grep -q 1110; do sleep 0.1; done; lspci -nd 1af4:1110';
  t.match(await two!.check(appear), /1af4:1110/, 'plugged in');
  const write = (
    text: string,
  ) => `set -- /sys/bus/pci/devices/*/; for d; do [ "$(cat $d/device)" = 0x1110 ] || continue;
    setpci -s $(basename $d) COMMAND=2:2; node -e "${text}" $d/resource2; done`;
  t.match(await two!.check(write("console.log(require('fs').statSync(process.argv[1]).size)")), /^1048576$/m);

  await Promise.all(vms.map((vm) => vm.powerOff()));
  await bridge.close();
  t.notMatch(await command('ip', ['netns', 'list']), bridge.namespace, 'the namespace is gone');
});

t.test('a cable between two guests', { skip }, async (t) => {
  const [left, right] = cable(testFolder(t));
  const vms = [
    await launchVm({ name: 'left', network: left }),
    await launchVm({ name: 'right', network: right }),
  ];
  t.teardown(() => Promise.all(vms.map((vm) => vm.kill())));
  const [one] = await Promise.all(vms.map((vm) => vm.ready()));
  t.match(await ping(one!, '10.77.0.2'), / 0% packet loss/);
});

t.test('a VM does not outlive a launcher that is killed', { skip }, async (t) => {
  const words = ['--import', 'tsx', 'qemu/launch.ts', '--name', 'orphan'];
  const launcher = spawn(process.execPath, words, { cwd: checkout, stdio: ['ignore', 'ignore', 'pipe'] });
  t.teardown(() => launcher.kill('SIGKILL'));
  let said = '';
  for await (const chunk of launcher.stderr) {
    said += chunk;
    if (said.includes('orphan: up')) break;
  }
  const [, pid, directory] = /process (\d+), files in (\S+)/.exec(said) ?? [];
  if (!pid || !directory) throw new Error(`the launcher did not start its VM:\n${said}`);
  t.ok(isAlive(Number(pid)));
  launcher.kill('SIGKILL');
  await once(launcher, 'exit');
  const deadline = Date.now() + 180_000;
  while (isAlive(Number(pid)) && Date.now() < deadline) await delay(50);
  t.notOk(isAlive(Number(pid)), 'QEMU died with it');
  rmSync(runDirectory(), { recursive: true });
  t.notOk(existsSync(directory), 'and the next launcher removes its files');
});
