import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { listen } from '../../../src/host/sockets/listener.ts';
import { binding } from '../../../src/native/binding.ts';

function directory(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'ivshmem-listener-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

t.test('mode, and removal at the end', async (t) => {
  const path = join(directory(t), 'socket');
  for (const mode of [0o600, 0o660, 0o666]) {
    const listener = listen(path, mode, process.getgid!());
    t.equal(statSync(path).mode & 0o777, mode);
    listener.close();
    t.notOk(existsSync(path));
  }
});

t.test('a socket somebody listens on is left alone', async (t) => {
  const path = join(directory(t), 'socket');
  const first = listen(path, 0o600, undefined);
  t.throws(() => listen(path, 0o600, undefined), { code: 'ERR_IVSHMEM_SERVER_SOCKET_BUSY' });
  t.ok(existsSync(path));
  first.close();
  const name = `@ivshmem-listener-${process.pid}`;
  const abstract = listen(name, 0o600, undefined);
  t.throws(() => listen(name, 0o600, undefined), { code: 'ERR_IVSHMEM_SERVER_SOCKET_BUSY' });
  abstract.close();
});

t.test('a socket file left by a server that was killed is replaced', async (t) => {
  const path = join(directory(t), 'socket');
  const child = spawnSync(
    process.execPath,
    [
      '-e',
      `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 9))`,
    ],
    { timeout: 20_000 },
  );
  t.equal(child.signal, 'SIGKILL');
  t.ok(existsSync(path));
  const listener = listen(path, 0o600, undefined);
  closeSync(binding.socketConnect(path));
  listener.close();
});

t.test('what is not a socket is not removed', async (t) => {
  const folder = directory(t);
  const path = join(folder, 'file');
  writeFileSync(path, 'precious');
  const error = { code: 'ERR_IVSHMEM_SERVER_SOCKET' };
  t.throws(() => listen(path, 0o600, undefined), error);
  symlinkSync(path, join(folder, 'link'));
  t.throws(() => listen(join(folder, 'link'), 0o600, undefined), error);
  t.ok(existsSync(path));
  t.throws(() => listen(join(folder, 'absent', 'socket'), 0o600, undefined), error);
});

t.test('a socket taken over by another server stays', async (t) => {
  const path = join(directory(t), 'socket');
  const first = listen(path, 0o600, undefined);
  rmSync(path);
  const second = listen(path, 0o600, undefined);
  first.close();
  t.ok(existsSync(path));
  second.close();
});
