import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import type { Life } from '../../src/backend/backend.ts';
import { Guardian } from '../../src/backend/guardian.ts';
import { MEMBER_W } from '../../src/memory/layout.ts';
import { REASON_CLOSED, REASON_CRASHED } from '../../src/memory/membership.ts';
import { guardianProgram } from '../../src/native/guardian-program.ts';
import { until } from '../native/fixtures/until.ts';
import { testFolder } from '../support/test-folder.ts';

const fixture = fileURLToPath(new URL('fixtures/guarded.ts', import.meta.url));
const SERVER_BLOCK = 8192;
const MEMBER_BLOCK = 8192 + 41 * 4096;
const life: Life = {
  slot: 41,
  generation: 0x9abcdef0,
  obituaryOffset: MEMBER_BLOCK + MEMBER_W.obituary * 4,
  serverBlockOffset: SERVER_BLOCK,
};
const summaryAt = SERVER_BLOCK + (MEMBER_W.summary + 1) * 4;
const armedAt = SERVER_BLOCK + MEMBER_W.armed * 4;

/** A region and registers made of plain files. */
class Device {
  readonly memory: string;
  readonly registers: string;

  constructor(t: Test) {
    const directory = testFolder(t);
    this.memory = join(directory, 'memory');
    this.registers = join(directory, 'registers');
    const memory = Buffer.alloc(1 << 18);
    memory.writeUInt32LE(1, armedAt);
    memory.writeUInt32LE(0x80000001, summaryAt);
    writeFileSync(this.memory, memory);
    writeFileSync(this.registers, Buffer.alloc(4096, 0xee));
  }

  state() {
    const memory = readFileSync(this.memory);
    return {
      obituary: memory.readUInt32LE(life.obituaryOffset),
      reason: memory.readUInt32LE(life.obituaryOffset + 4),
      summary: memory.readUInt32LE(summaryAt),
      armed: memory.readUInt32LE(armedAt),
      doorbell: readFileSync(this.registers).readUInt32LE(12),
    };
  }

  guardian(t: Test, program?: string): Guardian {
    const bars = {
      memory: { fd: openSync(this.memory, 'r+'), offset: 0 },
      doorbell: { fd: openSync(this.registers, 'r+'), offset: 12 },
    };
    const guardian = new Guardian('the test', () => bars, program);
    t.teardown(() => guardian.end());
    return guardian;
  }
}

const untouched = { obituary: 0, reason: 0, summary: 0x80000001, armed: 1, doorbell: 0xeeeeeeee };
/** Slot 41: bit 9 of the second word. The server is peer 0, its vector 0. */
const told = { obituary: 0x9abcdef0, reason: REASON_CRASHED, summary: 0x80000201, armed: 0, doorbell: 0 };
const gone = (pid: number): boolean => !existsSync(`/proc/${pid}`);
/** Fields of /proc/PID/stat behind the name: [state, ppid, pgrp, session, ...]. */
const stat = (pid: number): string[] =>
  readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');

interface Line {
  readonly pid?: number | null;
  readonly warning?: string;
}

class Guarded {
  readonly child: ChildProcess;
  readonly lines: Line[] = [];
  readonly ended: Promise<number | null>;

  constructor(t: Test, device: Device, how: string) {
    const words = [device.memory, device.registers, JSON.stringify(life), how];
    this.child = spawn(process.execPath, ['--import', 'tsx', fixture, ...words], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    this.ended = new Promise((resolve) => this.child.on('close', resolve));
    createInterface({ input: this.child.stdout! }).on('line', (line) => this.lines.push(JSON.parse(line)));
    t.teardown(() => this.child.kill('SIGKILL'));
  }

  async pid(n = 0): Promise<number> {
    await until(() => this.lines.filter(({ pid }) => pid).length > n, 60_000);
    return this.lines.filter(({ pid }) => pid)[n]!.pid!;
  }
}

t.test('a process that is killed: the obituary, the mark, the doorbell', async (t) => {
  const device = new Device(t);
  const guarded = new Guarded(t, device, 'stay');
  const pid = await guarded.pid();
  t.strictSame(device.state(), untouched, 'nothing before');
  guarded.child.kill('SIGKILL');
  await until(() => gone(pid));
  t.strictSame(device.state(), told);
});

for (const [how, status] of [
  ['exit', 3],
  ['end', 0],
] as const)
  t.test(`a process that ends without a word (${how})`, async (t) => {
    const device = new Device(t);
    const guarded = new Guarded(t, device, how);
    const pid = await guarded.pid();
    t.equal(await guarded.ended, status, 'the guardian does not keep it alive');
    await until(() => gone(pid));
    t.strictSame(device.state(), told);
  });

t.test('a worker thread that is terminated', async (t) => {
  const device = new Device(t);
  const guarded = new Guarded(t, device, 'worker');
  const pid = await guarded.pid();
  // The process lives, and need not have reaped it.
  await until(() => gone(pid) || stat(pid)[0] === 'Z');
  t.strictSame(device.state(), told);
});

t.test('what the process wrote on its way out stays', async (t) => {
  const device = new Device(t);
  const guarded = new Guarded(t, device, 'stay');
  const pid = await guarded.pid();
  const memory = readFileSync(device.memory);
  memory.writeUInt32LE(life.generation, life.obituaryOffset);
  memory.writeUInt32LE(REASON_CLOSED, life.obituaryOffset + 4);
  writeFileSync(device.memory, memory, { flag: 'r+' });
  guarded.child.kill('SIGKILL');
  await until(() => gone(pid));
  t.strictSame(device.state(), { ...told, reason: REASON_CLOSED }, 'rung all the same');
});

t.test('an end in order writes nothing and leaves nothing', async (t) => {
  const device = new Device(t);
  const guardian = device.guardian(t);
  guardian.guard(life);
  const pid = guardian.pid!;
  // From fork to main() it is still on its way.
  await until(
    () => readFileSync(`/proc/${pid}/comm`, 'latin1') === 'ivshmem-guard\n' && stat(pid)[0] === 'S',
  );
  t.strictSame(readdirSync(`/proc/${pid}/fd`), ['0', '1', '2', '3', '4'], 'no descriptor but its own');
  t.equal(stat(pid)[3], String(pid), 'a session of its own');
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGPIPE'] as const)
    process.kill(pid, signal);
  guardian.end();
  guardian.end();
  await until(() => gone(pid));
  t.strictSame(device.state(), untouched);
  t.equal(guardian.pid, undefined);
});

t.test('signals to its group do not end it', async (t) => {
  const device = new Device(t);
  const guarded = new Guarded(t, device, 'stay');
  const pid = await guarded.pid();
  await until(
    () => stat(pid)[0] === 'S' && readFileSync(`/proc/${pid}/comm`, 'latin1') === 'ivshmem-guard\n',
  );
  process.kill(-pid, 'SIGINT');
  process.kill(-pid, 'SIGTERM');
  guarded.child.kill('SIGTERM');
  await until(() => gone(pid));
  t.strictSame(device.state(), told, 'it saw the process end');
});

t.test('another life in place of the first; the last word without a process that dies', async (t) => {
  const device = new Device(t);
  const guardian = device.guardian(t);
  guardian.guard(life);
  const first = guardian.pid!;
  guardian.guard({ ...life, generation: 5 });
  t.not(guardian.pid, first);
  t.strictSame(device.state(), untouched, 'the first ended without a word');
  guardian.tell();
  t.strictSame(device.state(), { ...told, obituary: 5 });
  await until(() => gone(first));
});

t.test('a guardian that is killed is replaced once, then there is a warning', async (t) => {
  const device = new Device(t);
  const guarded = new Guarded(t, device, 'stay');
  process.kill(await guarded.pid(0), 'SIGKILL');
  process.kill(await guarded.pid(1), 'SIGKILL');
  const warning = () => guarded.lines.find(({ warning }) => warning !== undefined);
  await until(() => warning() !== undefined);
  t.match(warning(), { warning: 'ERR_IVSHMEM_GUARDIAN' });
  t.equal(guarded.child.exitCode, null, 'the process lives');
  t.strictSame(device.state(), untouched);
});

t.test('a guardian that cannot be started is a warning', async (t) => {
  const device = new Device(t);
  const warnings: unknown[] = [];
  const take = (warning: Error): void => void warnings.push((warning as { code?: string }).code);
  process.on('warning', take);
  t.teardown(() => process.off('warning', take));
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  for (const program of [device.memory, join(t.testdirName, 'absent')]) {
    const guardian = device.guardian(t, program);
    guardian.guard(life);
    const before = warnings.length;
    await until(() => warnings.length > before);
    guardian.end();
  }
  t.strictSame(warnings, ['ERR_IVSHMEM_GUARDIAN', 'ERR_IVSHMEM_GUARDIAN']);
});

t.test('the program refuses what it cannot use', async (t) => {
  const run = (...words: string[]) =>
    spawnSync(guardianProgram()!, words, { stdio: ['ignore', 'ignore', 'ignore'], timeout: 20_000 }).status;
  const numbers = ['0', '4096', '1', '2', '64', '1', '0', '12', '0'];
  t.equal(run(), 2);
  t.equal(run(...numbers, '1'), 2);
  for (const wrong of ['', '-1', 'x', '1x', '99999999999999999999999'])
    t.equal(run(...numbers.with(2, wrong)), 2, JSON.stringify(wrong));
  t.equal(run(...numbers), 1, 'no memory to map');
});
