import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import type { Figures } from '../../src/demo/figures.ts';
import { runToEnd } from '../support/native-build.ts';
import { until } from '../support/protocol/until.ts';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

t.setTimeout(240_000);

t.test('two processes measure both ways, and leave nothing behind', async (t) => {
  const said = await runToEnd(process.execPath, ['--import', 'tsx', main, 'demo', '--json'], 200_000);
  t.equal(said.code, 0, said.output);
  const lines = said.output.trim().split('\n');
  const [, first, second] = /^Process (\d+) and process (\d+) are members of it\.$/m.exec(said.output)!;
  t.not(first, second);
  for (const pid of [first, second])
    t.throws(() => process.kill(Number(pid), 0), { code: 'ESRCH' }, 'both have ended');
  const figures = JSON.parse(lines.at(-1)!) as Figures[];
  t.strictSame(
    figures.map(({ path }) => path),
    ['shared memory', 'UNIX socket'],
  );
  for (const { rttUs, messagesPerSecond, bytesPerSecond, received } of figures) {
    t.ok(rttUs > 0 && messagesPerSecond > 0 && bytesPerSecond > 0);
    t.ok(received >= 520_000, 'every message of both sizes was received');
  }
});

/** The demo, and the process that it starts. */
async function started(t: Test): Promise<{ first: ChildProcess; second: number }> {
  const first = spawn(process.execPath, ['--import', 'tsx', main, 'demo', '--json'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.teardown(() => first.kill('SIGKILL'));
  let second: number | undefined;
  await until('it has started the second', () => {
    if (first.exitCode !== null) throw new Error('it has ended');
    second = childrenOf(first.pid!).find((pid) => commandOf(pid).includes('--respond'));
    return second !== undefined;
  });
  return { first, second: second! };
}

function childrenOf(pid: number): number[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    const parent = /^\d+ \(.*\) \S+ (\d+)/s.exec(contentOf(`/proc/${name}/stat`))?.[1];
    return Number(parent) === pid ? [Number(name)] : [];
  });
}

const commandOf = (pid: number): string => contentOf(`/proc/${pid}/cmdline`);

/** '' of a process that is gone. */
function contentOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

t.test('a second process that ends before it is ready is not waited for', async (t) => {
  const { first, second } = await started(t);
  process.kill(second, 'SIGKILL');
  t.same(await once(first, 'exit'), [1, null]);
});

t.test('a first process that is killed leaves no second one behind', async (t) => {
  const { first, second } = await started(t);
  let said = '';
  first.stderr!.on('data', (text) => {
    said += text;
  });
  await until('both are members', () => said.includes('are members of it'), 60);
  first.kill('SIGKILL');
  // A zombie is nobody's program any more.
  await until('the second has ended', () => commandOf(second) === '', 60);
});
