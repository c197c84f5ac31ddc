import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import t from 'tap';
import { binding } from '../../src/native/binding.ts';
import { until } from './fixtures/until.ts';

const fixture = (name: string) => new URL(`./fixtures/${name}.ts`, import.meta.url).pathname;

function run(how: string): { status: number | null; signal: string | null; stdout: string; stderr: string } {
  const args = ['--import', 'tsx', fixture('everything-open'), how];
  return spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 100_000 });
}

t.test('unreferenced handles and threads do not keep the process alive', async (t) => {
  const { status, signal, stderr } = run('end');
  t.same([status, signal, stderr], [0, null, '']);
});

t.test('process.exit with everything open and busy', async (t) => {
  const { status, signal, stderr } = run('exit');
  t.same([status, signal, stderr], [7, null, '']);
});

t.test('an uncaught exception with everything open and busy', async (t) => {
  const { status, signal, stderr } = run('throw');
  t.same([status, signal], [1, null]);
  t.match(stderr, 'nobody catches this');
});

t.test('worker threads that end, exit, and are terminated with everything open', async (t) => {
  const { status, signal, stdout, stderr } = run('workers');
  t.same([status, signal, stderr], [0, null, '']);
  t.match(stdout, 'workers done');
});

t.test('a process that ends asleep leaves armed=0, though its mapping is torn down first', async (t) => {
  const fd = binding.createMemfd('armed', 4096, true, false);
  const bell = binding.eventfdCreate();
  const mapping = binding.mapFile(fd, 0, 4096, true);
  const armed = new Int32Array(mapping.buffer, 256, 1);
  const child = spawn(process.execPath, ['--import', 'tsx', fixture('sleeper')], {
    stdio: ['pipe', 'inherit', 'inherit', fd, bell],
  });
  const exited = once(child, 'exit');
  await until(() => Atomics.load(armed, 0) === 1);
  child.stdin?.end();
  t.same(await exited, [0, null]);
  t.equal(Atomics.load(armed, 0), 0);
  mapping.close();
  closeSync(fd);
  closeSync(bell);
});
