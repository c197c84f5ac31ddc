import { spawnSync } from 'node:child_process';
import { closeSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openHost } from '../../src/backend/host.ts';
import { createServer, type Log } from '../../src/host/index.ts';
import { readHeader } from '../../src/memory/header.ts';
import { binding } from '../../src/native/binding.ts';
import { until } from '../support/protocol/until.ts';
import { testFolder } from '../support/test-folder.ts';

const socket = (name: string): string => `@ivshmem-server-${process.pid}-${name}`;
const descriptors = (): number => readdirSync('/proc/self/fd').length;

t.test('several regions are trust domains of their own', async (t) => {
  const server = await createServer({
    regions: [
      { name: 'red', socket: socket('red'), size: '1M', slots: 4, vectors: 1 },
      { name: 'blue', socket: socket('blue'), size: '2M', slots: 8, vectors: 3 },
    ],
  });
  t.teardown(() => server.close());
  const red = await openHost(socket('red'));
  t.teardown(() => red.close());
  const blue = await openHost(socket('blue'));
  t.teardown(() => blue.close());
  t.equal(readHeader(red.memory.buffer).name, 'red');
  t.equal(readHeader(blue.memory.buffer).name, 'blue');
  t.not(readHeader(red.memory.buffer).uuid, readHeader(blue.memory.buffer).uuid);
  t.same([red.interrupts.length, blue.interrupts.length], [1, 3]);
  t.same(
    server.status().regions.map(({ name, slots, members }) => [name, slots, members.length]),
    [
      ['red', 4, 1],
      ['blue', 8, 1],
    ],
  );
});

t.test('nothing is left behind by a server or by one that could not start', async (t) => {
  const taken = await createServer({ regions: [{ name: 'taken', socket: socket('taken'), size: '1M' }] });
  const before = descriptors();
  const regions = [
    { name: 'free', socket: socket('free'), size: '1M' },
    { name: 'busy', socket: socket('taken'), size: '1M' },
  ];
  await t.rejects(createServer({ regions }), { code: 'ERR_IVSHMEM_SERVER_SOCKET_BUSY' });
  await t.rejects(createServer({ regions: [{ name: 'homeless', size: '1M' }] }), {
    code: 'ERR_IVSHMEM_SERVER_CONFIG',
    message: /homeless has no socket/,
  });
  await until('all descriptors are closed', () => descriptors() === before);
  const again = await createServer({ regions: [regions[0]!] });
  const member = await openHost(socket('free'));
  member.close();
  await again.close();
  await again.close();
  await until('all descriptors are closed', () => descriptors() === before);
  await taken.close();
});

t.test('more descriptors than the process may have', async (t) => {
  const regions = Array.from({ length: 100 }, (_, i) => ({
    name: `r${i}`,
    socket: socket(`r${i}`),
    slots: 256,
    vectors: 256,
  }));
  await t.rejects(createServer({ regions }), { code: 'ERR_IVSHMEM_SERVER_FD_LIMIT' });
});

t.test('a limit that clients who wait could use up', async (t) => {
  const program = `
    import { createServer } from '${new URL('../../src/host/index.ts', import.meta.url)}';
    const regions = [{ name: 'tight', socket: '@ivshmem-tight-' + process.pid, size: '1M', slots: 16 }];
    await createServer({ regions }).catch(({ code, message }) => console.log(code, message));
    process.exit();`;
  // 64 for its slots, and much less than it takes for 256 that wait at its entrance.
  const words = [
    '--nofile=300:300',
    process.execPath,
    '--import',
    'tsx',
    '--input-type=module',
    '-e',
    program,
  ];
  const { status, stdout, stderr } = spawnSync('prlimit', words, { encoding: 'utf8', timeout: 60_000 });
  t.match(stdout, /ERR_IVSHMEM_SERVER_FD_LIMIT .*the limit is 300/, stderr);
  t.equal(status, 0, stderr);
});

t.test('a server that cannot be among its hosts leaves no file', async (t) => {
  const folder = testFolder(t);
  const at = (name: string): string => join(folder, name);
  const regions = [
    {
      name: 'file',
      socket: socket('file'),
      size: '1M',
      memory: 'file',
      file: at('memory'),
      directory: at('directory'),
    },
  ] as const;
  const nowhere = { certificate: at('no.pem'), key: at('no.key'), authority: at('no.ca') };
  const hosts = { name: 'a', listen: '127.0.0.1:0', peers: {}, state: at('votes.json'), ...nowhere };
  await t.rejects(createServer({ regions: [...regions], hosts }), { code: 'ERR_IVSHMEM_HOSTS_IDENTITY' });
  t.same(readdirSync(folder), []);
});

t.test('listening sockets made by somebody else', async (t) => {
  const passed = binding.socketListen(socket('passed'), 8);
  const sockets = new Map([['passed', passed]]);
  await t.rejects(createServer({ regions: [{ name: 'other', socket: '@x', size: '1M' }] }, { sockets }), {
    code: 'ERR_IVSHMEM_SERVER_ACTIVATION',
    message: /no region is named "passed"/,
  });
  const server = await createServer({ regions: [{ name: 'passed', size: '1M' }] }, { sockets });
  t.equal(server.status().regions[0]!.socket, 'systemd:passed');
  const member = await openHost(socket('passed'));
  t.equal(member.ivPosition, 1);
  member.close();
  await server.close();
});

t.test('what it logs', async (t) => {
  const lines: string[] = [];
  const note = (...about: unknown[]): void => void lines.push(String(about.at(-1)));
  const log: Log = { debug: note, info: note, warn: note, error: note, child: () => log };
  const server = await createServer(
    { regions: [{ name: 'log', socket: socket('log'), size: '1M', slots: 2 }] },
    { log },
  );
  const member = await openHost(socket('log'));
  await t.rejects(openHost(socket('log')), {
    code: 'ERR_IVSHMEM_HOST_REFUSED',
    message: /every slot is taken/,
  });
  member.close();
  await until('the end is seen', () => lines.includes('disconnected'));
  await server.close();
  t.same(lines, ['listening', 'connected', 'refused: no free slot', 'disconnected', 'closed']);
});

t.test('refused clients are kept until they hang up, and not without bound', async (t) => {
  const regions = [{ name: 'crowd', socket: socket('crowd'), size: '1M', admit: [{ uid: 12345 }] }];
  const server = await createServer({ regions });
  t.teardown(() => server.close());
  const before = descriptors();
  const crowd: number[] = [];
  for (let i = 0; i < 100; i++) {
    const client = binding.socketConnect(socket('crowd'));
    crowd.push(client);
    let message = binding.receiveMessage(client);
    await until('the refusal', () => {
      message ??= binding.receiveMessage(client);
      return message !== null;
    });
    t.match(message, { value: 1001, fd: -1 });
  }
  // Each kept one costs the server its socket and the watch's duplicate.
  t.ok(descriptors() - before <= 100 + 2 * 32);
  for (const client of crowd) closeSync(client);
  await until('all are let go', () => descriptors() === before);
});
