import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { openHost } from '../../src/backend/host.ts';
import { readConfig } from '../../src/host/config/config.ts';
import { readHeader } from '../../src/memory/header.ts';
import { binding } from '../../src/native/binding.ts';
import { until } from '../support/protocol/until.ts';
import { bundledServer } from '../support/supervised-server.ts';

const serve = [await bundledServer(), 'server'];
const env = { ...process.env };

const directory = mkdtempSync(join(tmpdir(), 'ivshmem-cli-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

function server(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [...serve, ...args], { encoding: 'utf8', timeout: 60_000, env });
}

/** A server that keeps running; its log, and the end of it. */
async function running(t: Test, child: ChildProcess): Promise<{ log: () => string; child: ChildProcess }> {
  let text = '';
  child.stderr!.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  t.teardown(() => void child.kill('SIGKILL'));
  await until('the server listens', () => {
    if (child.exitCode !== null) throw new Error(text);
    return text.includes('"listening"');
  });
  return { log: () => text, child };
}

t.test('wrong usage ends with 2', async (t) => {
  const toml = join(directory, 'bad.toml');
  writeFileSync(toml, '[[regions]]\nname = "x"\nsocket = "@x"\nsize = "3M"\n');
  const cases: [string[], RegExp][] = [
    [['--no-such-flag'], /ERR_IVSHMEM_CLI_USAGE/],
    [['--socket', '@x', '--size', '3M'], /must be a power of two[\s\S]*ERR_IVSHMEM_SERVER_CONFIG/],
    [['--socket', '@x', '--slots', 'many'], /slots[\s\S]*ERR_IVSHMEM_SERVER_CONFIG/],
    [['--socket', '@x', '--admit', 'everybody'], /--admit[\s\S]*ERR_IVSHMEM_SERVER_CONFIG/],
    [['--socket', '@x', '--admit', 'uid=0=1'], /"uid=0=1" is not uid=[\s\S]*ERR_IVSHMEM_SERVER_CONFIG/],
    [['--socket', '@x', '--log', 'loud', '--check'], /log: [\s\S]*ERR_IVSHMEM_SERVER_CONFIG/],
    [[], /has no socket[\s\S]*ERR_IVSHMEM_SERVER_CONFIG/],
    [['--config', toml], /bad\.toml[\s\S]*power of two[\s\S]*ERR_IVSHMEM_SERVER_CONFIG/],
    [['--config', toml, '--size', '1M'], /--size[\s\S]*does not go with --config/],
    [['--config', join(directory, 'absent.toml')], /ERR_IVSHMEM_SERVER_CONFIG_FILE/],
  ];
  for (const [args, stderr] of cases)
    t.match(server(...args), { status: 2, stdout: '', stderr }, args.join(' '));
});

t.test('what the world refuses ends with 1', async (t) => {
  const name = `@ivshmem-cli-busy-${process.pid}`;
  const busy = binding.socketListen(name, 8);
  t.match(server('--socket', name), { status: 1, stderr: /ERR_IVSHMEM_SERVER_SOCKET_BUSY/ });
  closeSync(busy);
  const absent = join(directory, 'absent', 'socket');
  t.match(server('--socket', absent), { status: 1, stderr: /ENOENT[\s\S]*ERR_IVSHMEM_SERVER_SOCKET/ });
});

t.test('--check', async (t) => {
  const args = [
    '--socket',
    '@x',
    '--size',
    '2M',
    '--admit',
    'uid=0',
    'gid=1,pid=2',
    'gid=2,slots=3',
    '--check',
  ];
  t.match(server(...args), { status: 0, stdout: '1 region(s): default\n', stderr: '' });
});

t.test('the example configuration is right', async (t) => {
  const path = fileURLToPath(new URL('../../systemd/server.toml', import.meta.url));
  try {
    t.equal(readConfig(path).regions[0]!.name, 'default');
  } catch (error) {
    t.match(
      (error as Error).message,
      /there is no group "kvm"/,
      'all right but for an account of this machine',
    );
  }
});

t.test('it serves, tells its status, and ends cleanly', async (t) => {
  const socket = join(directory, 'socket');
  const args = [
    ...serve,
    '--socket',
    socket,
    '--name',
    'cli',
    '--size',
    '1M',
    '--vectors',
    '3',
    '--slots',
    '4',
  ];
  const { child, log } = await running(
    t,
    spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'], env }),
  );
  const member = await openHost(socket);
  const header = readHeader(member.memory.buffer);
  t.match(header, { name: 'cli', slots: 4, vectors: 3, regionPages: 256 });
  child.kill('SIGUSR2');
  await until('the status is logged', () => log().includes('"status"'));
  member.close();
  child.kill('SIGTERM');
  const [code] = (await once(child, 'exit')) as [number | null];
  t.equal(code, 0);
  for (const line of log().trim().split('\n')) JSON.parse(line);
  t.throws(() => binding.socketConnect(socket), 'the socket is gone');
});

t.test('a socket passed as systemd passes it', async (t) => {
  const socket = join(directory, 'passed.sock');
  const toml = join(directory, 'passed.toml');
  writeFileSync(toml, '[[regions]]\nname = "passed"\nsize = "1M"\n');
  const listener = binding.socketListen(socket, 8);
  // The shell knows the PID that the server will have.
  const script = 'LISTEN_PID=$$ exec "$0" "$@"';
  const { child } = await running(
    t,
    spawn('sh', ['-c', script, process.execPath, ...serve, '--config', toml], {
      stdio: ['ignore', 'ignore', 'pipe', listener],
      env: { ...env, LISTEN_FDS: '1', LISTEN_FDNAMES: 'passed' },
    }),
  );
  closeSync(listener);
  const member = await openHost(socket);
  t.equal(readHeader(member.memory.buffer).name, 'passed');
  member.close();
  child.kill('SIGINT');
  t.equal((await once(child, 'exit'))[0], 0);
});

t.test('a disk that is full under its log does not end it', async (t) => {
  const socket = `@ivshmem-cli-full-${process.pid}`;
  const full = openSync('/dev/full', 'w');
  const child = spawn(process.execPath, [...serve, '--socket', socket, '--size', '1M'], {
    stdio: ['ignore', 'ignore', full],
    env,
  });
  closeSync(full);
  t.teardown(() => void child.kill('SIGKILL'));
  const member = async (): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    const one = await openHost(socket).catch((error: { code: string }) => {
      if (error.code !== 'ERR_IVSHMEM_HOST_CONNECT') throw error;
      return null;
    });
    one?.close();
    return one !== null;
  };
  await until('it serves', member, 60);
  // It logs each.
  for (let n = 0; n < 5; n++) t.ok(await member());
  child.kill('SIGTERM');
  t.same(await once(child, 'exit'), [0, null]);
});
