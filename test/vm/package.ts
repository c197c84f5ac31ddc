/** The npm package in a guest, where there is no compiler and no npm: README's quick start, one side in a VM, the other on the host. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { buildPayload } from '../../guest-image/payload.ts';
import { launchVm } from '../../qemu/vm.ts';
import { createServer } from '../../src/host/index.ts';
import { installPacked, untilItSucceeds, writeReadmePrograms } from '../support/packed.ts';

t.setTimeout(600_000);
const skip = process.getuid?.() === 0 ? false : 'needs root to build the guest image';

t.test('the package in a guest', { skip }, async (t) => {
  const { consumer, offline } = await installPacked(t);
  if (offline !== false) {
    t.pass('installed', { skip: offline });
    return;
  }
  writeReadmePrograms(consumer);
  const directory = mkdtempSync(join(tmpdir(), 'ivshmem-package-vm-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const socket = join(directory, 'region.sock');
  const server = await createServer({ regions: [{ name: 'package', socket, size: '64M' }] });
  t.teardown(() => server.close());
  const host = spawn(process.execPath, ['a.mjs'], {
    cwd: consumer,
    stdio: 'ignore',
    env: { ...process.env, IVSHMEM_SOCKET: socket },
  });
  t.teardown(() => host.kill());

  const main = '/payload/app/node_modules/ivshmem/dist/cli/main.js';
  const payload = await buildPayload({
    app: consumer,
    'bin/ivshmem': { content: `#!/bin/sh\nexec node ${main} "$@"\n`, mode: 0o755 },
  });
  const vm = await launchVm({ name: 'package', payload, ivshmem: [{ kind: 'doorbell', server: socket }] });
  t.teardown(() => vm.kill());
  await vm.ready();
  t.match(await vm.check('ivshmem --version'), /^\d+\.\d+\.\d+/m);
  await vm.check('ivshmem bind --user app');
  const asked = await untilItSucceeds(async () => {
    const { status, stdout, stderr } = await vm.run('node b.mjs', { cwd: '/payload/app', user: 'app' });
    return { code: status, signal: null, output: stdout + stderr };
  });
  t.equal(asked.output.trim(), 'hello, says a');
  await vm.powerOff();
});
