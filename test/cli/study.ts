import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { readStudy } from '../../src/study/read.ts';
import { serveRegion } from '../support/busy-region.ts';
import { type Outcome, runToEnd } from '../support/native-build.ts';

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const words = ['--import', 'tsx', path('../../src/cli/main.ts')];
const fixture = path('../study/fixtures/quick');

// Each command loads the sources anew, which takes seconds on a busy machine.
t.setTimeout(240_000);

const ivshmem = (...args: string[]): Promise<Outcome> =>
  runToEnd('env', ['IVSHMEM_SOCKET=', process.execPath, ...words, ...args], 120_000);

function folder(t: { teardown(work: () => void): unknown }): string {
  const made = mkdtempSync(join(tmpdir(), 'study-cli-'));
  t.teardown(() => rmSync(made, { recursive: true }));
  return made;
}

/** Two ports in a row that nobody has right now. */
async function freePorts(): Promise<number> {
  for (;;) {
    const [first, second] = [net.createServer(), net.createServer()];
    first.listen(0, '127.0.0.1');
    await once(first, 'listening');
    const { port } = first.address() as net.AddressInfo;
    const free = await new Promise<boolean>((resolve) => {
      second.once('error', () => resolve(false));
      second.listen(port + 1, '127.0.0.1', () => resolve(true));
    });
    first.close();
    second.close();
    if (free) return port;
  }
}

t.test('a report is written again, two studies are compared, and what is no study is named', async (t) => {
  const there = join(folder(t), 'study');
  cpSync(fixture, there, { recursive: true });
  const written = await ivshmem('study', 'report', there);
  t.match(written, { code: 0, output: `${there}/report.html\n${there}/summary.md\n` });
  t.match(readFileSync(join(there, 'summary.md'), 'utf8'), /Message size and path/);
  const same = await ivshmem('study', 'diff', fixture, there, '--json');
  t.equal(same.code, 0);
  const { rows } = JSON.parse(same.output) as { rows: { change: string }[] };
  t.ok(rows.length > 50);
  t.notOk(
    rows.some(({ change }) => change === 'better' || change === 'worse'),
    'a study does not differ from itself',
  );
  t.match(await ivshmem('study', 'report', join(there, 'nothing')), {
    code: 2,
    output: /ERR_IVSHMEM_STUDY_FOLDER/,
  });
});

t.test('a place that cannot be used is said in one line', async (t) => {
  const there = join(folder(t), 'study');
  cpSync(fixture, there, { recursive: true });
  rmSync(join(there, 'report.html'), { force: true });
  mkdirSync(join(there, 'report.html'));
  const served = await serveRegion('nowhere');
  t.teardown(() => served.close());
  // 192.0.2.0/24 is nobody's (RFC 5737).
  const elsewhere = ['study', 'answer', '--device', served.socket, '--host', '192.0.2.1'];
  for (const [words, what] of [
    [['study', 'report', there], /report\.html: EISDIR/],
    [elsewhere, /192\.0\.2\.1/],
  ] as const) {
    const said = await ivshmem(...words);
    t.match(said, { code: 1, output: what });
    t.match(said.output, /ERR_IVSHMEM_CLI_SYSTEM/);
    t.notMatch(said.output, /\n +at /);
  }
  t.match(await ivshmem('study', 'answer', '--port', '65535'), { code: 2, output: /1 to 65534/ });
});

t.test('between two programs that only share a region and a network', async (t) => {
  const served = await serveRegion('study', { size: '128M' });
  t.teardown(() => served.close());
  const port = await freePorts();
  const common = ['--device', served.socket, '--addresses', '127.0.0.1', '--port', String(port)];
  const answer = spawn(process.execPath, [...words, 'study', 'answer', '--host', '127.0.0.1', ...common], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env },
  });
  t.teardown(() => ended(answer));
  await said(answer, `TCP at 127.0.0.1:${port + 1}`);
  const there = join(folder(t), 'study');
  const limits = ['--quick', '--rounds', '1', '--budget', '8', '--folder', there, '--seed', '1'];
  const run = await ivshmem('study', 'run', '--peer', '127.0.0.1', ...limits, ...common);
  t.match(run, { code: 0, output: /samples were not taken; the same command goes on/ });
  const { samples, plan } = readStudy(there);
  t.ok(samples.length >= 1, `${samples.length} samples`);
  t.same(
    samples.filter(({ value }) => value === null),
    [],
  );
  t.same([...new Set(plan.points.map(({ path }) => path.replace(/-.*/, '')))].sort(), [
    'channel',
    'shared',
    'virtio',
  ]);
});

async function said(process: ChildProcess, text: string): Promise<void> {
  let all = '';
  for await (const chunk of process.stdout!.setEncoding('utf8')) {
    all += chunk;
    if (all.includes(text)) return;
  }
  throw new Error(`it ended without ${text}: ${all}`);
}

async function ended(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const exit = once(process, 'exit');
  process.kill('SIGTERM');
  await exit;
}
