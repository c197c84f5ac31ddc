import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import t, { type Test } from 'tap';
import { binding } from '../../src/native/binding.ts';
import { MEMORY_BYTES, PROGRESS, SIDE_WORDS } from './fixtures/ping-pong-layout.ts';
import { until } from './fixtures/until.ts';

const script = new URL('./fixtures/ping-pong.ts', import.meta.url).pathname;
const STALL_MS = 30_000;

async function play(t: Test, rounds: number, spins: readonly number[], pauseNs: number): Promise<void> {
  const memory = binding.createMemfd('ping-pong', MEMORY_BYTES, true, false);
  const bells = [binding.eventfdCreate(), binding.eventfdCreate()];
  const mapping = binding.mapFile(memory, 0, MEMORY_BYTES, false);
  const words = new Int32Array(mapping.buffer);
  const statistics: number[][] = [];
  const status: (number | null)[] = [];
  const children: ChildProcess[] = [1, 0].map((side) => {
    const args = [
      '--import',
      'tsx',
      script,
      String(side),
      String(rounds),
      String(spins[side]),
      String(pauseNs),
    ];
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'inherit', 'inherit', memory, ...bells, 'ipc'],
    });
    child.on('message', (message) => {
      statistics[side] = message as number[];
    });
    child.on('exit', (code) => status.push(code));
    return child;
  });
  try {
    let progress = -1;
    let moved = Date.now();
    await until(() => {
      const now = Atomics.load(words, PROGRESS) + Atomics.load(words, SIDE_WORDS + PROGRESS);
      if (now !== progress) moved = Date.now();
      progress = now;
      if (Date.now() - moved > STALL_MS) throw new Error(`both sides sleep after ${now} of ${4 * rounds}`);
      return status.length === 2;
    }, 110_000);
  } finally {
    for (const child of children) child.kill('SIGKILL');
    for (const fd of [memory, ...bells]) closeSync(fd);
  }
  t.same(status, [0, 0]);
  t.equal(words[SIDE_WORDS + PROGRESS], 2 * rounds - 1, 'every round was played');
  t.comment(`rounds ${rounds}, [found spinning, sleeps, bells, spurious]`, JSON.stringify(statistics));
  mapping.close();
}

t.test('both sides sleep after every message', (t) => play(t, 100_000, [0, 0], 0));
t.test('one side spins, the other sleeps', (t) => play(t, 50_000, [20_000, 0], 0));
t.test('the spin of both ends at random about when the message comes', (t) =>
  play(t, 100_000, [4_000, 4_000], 8_000),
);
