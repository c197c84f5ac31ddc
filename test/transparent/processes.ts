/** How programs are started: modules and CommonJS, by options and by environment, clusters, worker threads, without a region. */
import { once } from 'node:events';
import net from 'node:net';
import t from 'tap';
import { createServer as createHost } from '../../src/host/index.ts';
import { bundle, counted } from './support/bundle.ts';
import { type How, here, rest, run, type Started } from './support/run.ts';

t.setTimeout(240_000);
const { transparent, looking } = await bundle(t);
const region = `@ivshmem-transparent-processes-${process.pid}`;
const host = await createHost({ regions: [{ name: 'processes', socket: region, size: 64 << 20 }] });
t.teardown(() => host.close());

/** As `node --import ivshmem/transparent FILE` does, and says at the end what it counted. */
function start(file: string, args: string[] = [], how: Partial<How> = {}): Started {
  const started = run(here(`support/${file}`), {
    region,
    args,
    options: ['--import', transparent, '--import', looking],
    ...how,
  });
  t.teardown(() => started.child.kill('SIGKILL'));
  return started;
}

const firstLine = async ({ lines }: Started): Promise<string> => (await lines.next()).value as string;

t.test('a module serves, CommonJS asks', async (t) => {
  const server = start('answer.mjs');
  const client = start('ask.cjs', [await firstLine(server)], { env: { ENOUGH: '6' } });
  t.same(await rest(client), ['1 1000']);
  const { code, errors } = await client.ended;
  t.equal(code, 0, errors);
  const { connections, toSharedMemory } = counted(errors)[0]!;
  t.equal(connections, 6);
  t.ok(toSharedMemory >= 6, errors);
  server.child.stdin!.end();
  const { code: end, errors: said } = await server.ended;
  t.equal(end, 0, said);
  t.ok(counted(said)[0]!.toSharedMemory >= 6, said);
});

t.test('in the environment, for a cluster and its workers', async (t) => {
  const how = { options: [], env: { NODE_OPTIONS: `--import ${transparent} --import ${looking}` } };
  const server = start('cluster.cjs', [], how);
  const port = await firstLine(server);
  const client = start('ask.cjs', [port], { ...how, env: { ...how.env, ENOUGH: '6' } });
  const [answers] = await rest(client);
  t.match(answers, /^\d 1000(,\d 1000)*$/);
  const { code, errors } = await client.ended;
  t.equal(code, 0, errors);
  t.ok(counted(errors)[0]!.toSharedMemory >= 6, 'each connection found its worker');
  server.child.stdin!.end();
  const { code: end, errors: said } = await server.ended;
  t.equal(end, 0, said);
  const processes = counted(said);
  t.equal(processes.length, 4, 'a primary and three workers');
  const workers = processes.filter(({ connections }) => connections > 0);
  t.equal(workers.length, answers!.split(',').length, 'each that answered has connections');
  for (const { connections, toSharedMemory } of workers) t.ok(toSharedMemory >= connections);
});

t.test('worker threads', async (t) => {
  const server = start('answer.mjs');
  const port = await firstLine(server);
  const client = start('threads.cjs', [port, port], { env: { ENOUGH: '1' } });
  t.same(await rest(client), ['1 0', '1 0']);
  const { code, errors } = await client.ended;
  t.equal(code, 0, errors);
  const threads = counted(errors).filter(({ threadId }) => threadId > 0);
  t.equal(threads.length, 2);
  for (const { connections, toSharedMemory } of threads) t.ok(connections > 0 && toSharedMemory > 0);
  server.child.stdin!.end();
  await server.ended;
});

t.test('no region: TCP, with a reason; and on request a warning', async (t) => {
  const nowhere = { env: { IVSHMEM_SOCKET: `${region}-nowhere`, IVSHMEM_WARN: '1' } };
  const server = start('answer.mjs', [], nowhere);
  const client = start('ask.cjs', [await firstLine(server), '127.0.0.1'], nowhere);
  t.same(await rest(client), ['1 1000']);
  const { code, errors } = await client.ended;
  t.equal(code, 0, errors);
  t.match(errors, /ERR_IVSHMEM_HOST_CONNECT/);
  t.match(counted(errors)[0], { connections: 6, toSharedMemory: 0, reasons: { 'no-region': 6 } });
  server.child.stdin!.end();
  const { code: end, errors: said } = await server.ended;
  t.equal(end, 0, said);
  t.match(counted(said)[0], { connections: 6, toSharedMemory: 0, reasons: { 'no-region': 6 } });
});

t.test('off, and a program without sockets: nothing is opened', async (t) => {
  const client = start('answer.mjs', [], { env: { IVSHMEM_TRANSPARENT: 'off', NODE_DEBUG: 'ivshmem' } });
  await firstLine(client);
  client.child.stdin!.end();
  const { code, errors } = await client.ended;
  t.equal(code, 0, errors);
  t.notMatch(errors, /in region/);
  const idle = run('-e', {
    region,
    args: ['setTimeout(() => {}, 50)'],
    options: ['--import', transparent],
    env: { NODE_DEBUG: 'ivshmem' },
  });
  t.same(await idle.ended, { code: 0, errors: '' });
});

t.test('children in other folders find it by its path', async (t) => {
  const parent = run('-p', {
    region,
    args: ['process.env.NODE_OPTIONS'],
    options: [],
    env: { NODE_OPTIONS: '--import tsx --import ivshmem/transparent' },
  });
  const [options] = await rest(parent);
  t.match(options, /file:.*\/transparent\/index\.ts/);
  t.notMatch(options, /ivshmem\/transparent/);
  t.same(await parent.ended, { code: 0, errors: '' });
});

t.test('a listener that does not take part gets not one extra byte', async (t) => {
  const got: Buffer[] = [];
  const server = net.createServer((socket) => {
    socket.on('data', (data) => got.push(data));
    socket.on('end', () => socket.end());
  });
  t.teardown(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const program = `
    const socket = require('node:net').connect(${port}, '127.0.0.1');
    let n = 0;
    const timer = setInterval(() => {
      if (++n < 20) return socket.write('line ' + n + '.');
      clearInterval(timer);
      socket.end();
    }, 10);`;
  const client = run('-e', {
    region,
    args: [program],
    options: ['--import', transparent, '--import', looking],
  });
  const { code, errors } = await client.ended;
  t.equal(code, 0, errors);
  const wanted = Array.from({ length: 19 }, (_, i) => `line ${i + 1}.`).join('');
  t.equal(Buffer.concat(got).toString(), wanted);
  t.match(counted(errors)[0], { connections: 1, toSharedMemory: 0, reasons: { 'no-peer': 1 } });
});
