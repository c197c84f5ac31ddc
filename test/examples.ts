/** Runs every example as its README says, on this host: a server, and each program as a process of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createServer } from '../src/host/index.ts';
import { withoutOpenssl } from './host/hosts/support/certificates.ts';
import { runToEnd } from './support/native-build.ts';
import { until } from './support/protocol/until.ts';
import { testFolder } from './support/test-folder.ts';

t.setTimeout(400_000);

interface Finished {
  readonly code: number | null;
  readonly output: string;
}

/** Starts what `npx tsx file` does, without npx; `ready` resolves at its first output, `finished` at its end. */
function start(t: Test, file: string, args: readonly string[], socket: string) {
  const child = spawn(process.execPath, ['--import', 'tsx', `examples/${file}`, ...args], {
    env: { ...process.env, IVSHMEM_SOCKET: socket, NODE_OPTIONS: '' },
    timeout: 120_000,
  });
  t.teardown(() => child.kill('SIGKILL'));
  let output = '';
  const ready = new Promise<void>((resolve) => child.stdout.on('data', () => resolve()));
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output += chunk;
  });
  const finished = new Promise<Finished>((resolve) => child.on('close', (code) => resolve({ code, output })));
  return { ready: Promise.race([ready, finished]), finished };
}

/** Runs the listening program, then the others, and returns what each printed. */
async function play(
  t: Test,
  name: string,
  listener: string,
  others: readonly [string, ...string[]][],
  args: readonly string[] = [],
): Promise<string[]> {
  const socket = `@ivshmem-example-${name}-${process.pid}`;
  const server = await createServer({ regions: [{ name, socket, size: 16 << 20 }] });
  t.teardown(() => server.close());
  const first = start(t, `${name}/${listener}.ts`, args, socket);
  await first.ready;
  const rest = others.map(([file, ...rest]) => start(t, `${name}/${file}.ts`, rest, socket));
  const results = await Promise.all([first.finished, ...rest.map((one) => one.finished)]);
  for (const { code, output } of results) t.equal(code, 0, output.trim());
  return results.map(({ output }) => output);
}

t.test('ping-pong', async (t) => {
  const [, ask] = await play(t, 'ping-pong', 'answer', [['ask']]);
  t.match(ask, /10000 round trips/);
});

t.test('telemetry', async (t) => {
  const [collect, publish] = await play(t, 'telemetry', 'collect', [['publish']]);
  const sent = /(\d+) samples sent/.exec(publish!)?.[1];
  t.match(collect, new RegExp(`^${sent} samples in order`, 'm'));
});

t.test('file-copy', async (t) => {
  const [receive, send] = await play(t, 'file-copy', 'receive', [['send', process.execPath]]);
  t.equal(/sha256 (\w+)/.exec(receive!)?.[1], /sha256 (\w+)/.exec(send!)?.[1]);
});

t.test('work-queue', async (t) => {
  const [dispatch] = await play(t, 'work-queue', 'dispatch', [['work'], ['work']], ['2']);
  t.match(dispatch, /2000 jobs done by 2 workers/);
});

t.test('dsm', async (t) => {
  const [show, ...draws] = await play(t, 'dsm', 'show', [['draw'], ['draw']]);
  t.match(show, /\n[1-9]\d+ of 4608 pixels\n$/);
  const rows = draws.map((output) => Number(/drew (\d+) rows/.exec(output)?.[1]));
  t.equal(
    rows.reduce((sum, n) => sum + n, 0),
    48,
  );
});

t.test('dsm-queue', async (t) => {
  const [submit, ...workers] = await play(t, 'dsm-queue', 'submit', [['work'], ['work']], ['2']);
  t.match(submit, /500 jobs done \(\d+( \+ \d+)?\), 0 waiting\n1 piece of the heap in use\n$/);
  const [jobs, sizes] = [/did (\d+) jobs/, /size (\d+)/].map((what) =>
    workers.reduce((sum, output) => sum + Number(what.exec(output)?.[1]), 0),
  );
  t.equal(jobs, 500);
  let all = 0;
  for (let id = 1; id <= 500; id++) all += (id * 7919) % 1000;
  t.equal(sizes, all, 'each job was done once');
});

t.test('dsm-workers', async (t) => {
  for (const output of await play(t, 'dsm-workers', 'count', [['count']])) {
    t.match(output, /17984 primes below 200000/);
  }
});

t.test('dsm-hosts', { skip: withoutOpenssl() ?? false }, async (t) => {
  const socket = join(testFolder(t), 'hosts');
  const port = String(10_000 + (process.pid % 5000) * 2);
  const hosts = spawn('npx', ['tsx', 'examples/dsm-hosts/hosts.ts', socket, port], {
    env: { ...process.env, NODE_OPTIONS: '' },
    detached: true,
    timeout: 300_000,
  });
  t.teardown(async () => {
    if (hosts.exitCode !== null || hosts.signalCode !== null) return;
    const gone = once(hosts, 'exit');
    // The program and npx before it, which does not pass signals on.
    process.kill(-hosts.pid!, 'SIGTERM');
    await gone;
  });
  let output = '';
  for (const stream of [hosts.stdout, hosts.stderr])
    stream.on('data', (chunk) => {
      output += chunk;
    });
  await until('both hosts', () => output.includes('host b:'), 60);
  const [write, add] = await Promise.all([
    start(t, 'dsm-hosts/write.ts', [], `${socket}-a.sock`).finished,
    start(t, 'dsm-hosts/add.ts', [], `${socket}-b.sock`).finished,
  ]);
  t.equal(write.code, 0, write.output);
  t.equal(add.code, 0, add.output);
  t.match(write.output, /wrote 1048576 numbers\ntheir sum is 549755289600\n$/);
  t.match(add.output, /added 1048576 numbers; [1-9]\d* pages were mapped here/);
});

t.test('net', async (t) => {
  const port = String(20_000 + (process.pid % 10_000));
  const [, ask] = await play(t, 'net', 'serve', [['ask', port]], [port]);
  t.match(ask, /1000 round trips, now by shared-memory \(none\)/);
  t.match(ask, /1000 round trips, now by tcp \((channel-lost|no-channel)\)/);
  t.match(ask, /toSharedMemory: 1/);
});

/** `node --import ivshmem/transparent FILE`. */
function startTransparent(t: Test, file: string, env: NodeJS.ProcessEnv) {
  const options = ['--import', 'tsx', '--import', 'ivshmem/transparent', `examples/${file}`];
  const child = spawn(process.execPath, options, {
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    timeout: 200_000,
  });
  t.teardown(() => child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      output += chunk;
    });
  const finished = new Promise<Finished>((resolve) => child.on('close', (code) => resolve({ code, output })));
  return { child, output: () => output, finished };
}

t.test('transparent', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ivshmem-example-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const socket = join(folder, 'demo.sock');
  const env = { IVSHMEM_SOCKET: socket, PORT: String(10_000 + (process.pid % 10_000)) };
  const app = startTransparent(t, 'transparent/app.mjs', { ...env, IVSHMEM_NAME: 'app' });
  await until('the app', () => app.output() !== '', 60);
  const load = startTransparent(t, 'transparent/load.mjs', { ...env, IVSHMEM_NAME: 'load' });
  await until('answers over TCP', () => /[1-9]\d* answers/.test(load.output()), 60);

  const server = await createServer({ regions: [{ name: 'demo', socket, size: 64 << 20 }] });
  t.teardown(() => server.close());
  const ivshmem = async (...args: string[]): Promise<string> => {
    const words = ['--import', 'tsx', 'src/cli/main.ts', ...args, '--socket', socket];
    return (await runToEnd(process.execPath, words, 60_000)).output;
  };
  /** What top shows of the app: how many of its sockets are on shared memory. */
  const shows = (wanted: string): Promise<void> =>
    until(
      `"${wanted}" in top`,
      async () => {
        const line = (await ivshmem('top', '--once', '--interval', '0.1'))
          .split('\n')
          .find((line) => line.includes(`app-${app.child.pid}`));
        return line?.includes(wanted) === true;
      },
      90,
    );
  await shows(' 4 of 4 ');
  t.match(await ivshmem('drain', `app-${app.child.pid}`, '--timeout', '60'), /has no channels any more/);
  await shows(' 0 of 4 ');
  t.match(await ivshmem('drain', '--undo', `app-${app.child.pid}`), /stays/);
  await shows(' 4 of 4 ');

  load.child.kill('SIGINT');
  const { code, output } = await load.finished;
  t.equal(code, 0, output);
  t.match(output, /\d+ answers, 0 wrong, over 4 connections/);
  app.child.kill('SIGINT');
  t.same(await app.finished, { code: 0, output: 'listening\n' }, 'it ends by itself');
});

t.test('membership', async (t) => {
  const [watch, ...visits] = await play(t, 'membership', 'watch', [['visit'], ['visit']], ['2']);
  for (const visit of visits) {
    const name = /^(visitor-\d+) is in slot/m.exec(visit)?.[1];
    t.match(watch, new RegExp(`join ${name}, active`));
    t.match(watch, new RegExp(`update ${name}, leaving, listens to \\[visits\\]`));
    t.match(watch, new RegExp(`${name} left: closed`));
  }
});
