import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { difference, readActivity } from '../../bench/membership/proc.ts';
import { bundle } from '../../guest-image/bundle.ts';
import { until } from '../support/protocol/until.ts';
import { ServerProgram } from '../support/supervised-server.ts';
import { testFolder } from '../support/test-folder.ts';

const PROCESSES = 4;
const MEMBERS = 64;
/** Anything that looks once in this time would be seen. */
const WINDOW_MS = 5000;
/** The engine itself comes back some seconds after work, to give memory back. */
const DEADLINE_S = 150;
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** A Node process that does nothing, or runs a program and has said that it is ready. */
async function start(t: Test, ...words: readonly string[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, words, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout!, 'data');
  return child;
}

t.test(`${MEMBERS} members with nothing to do wake nobody`, { timeout: 240_000 }, async (t) => {
  const directory = testFolder(t);
  const program = join(directory, 'idle.mjs');
  writeFileSync(program, await bundle(here('../support/idle-program.ts')));
  cpSync(here('../../native/build/Release/addon.node'), join(directory, 'addon.node'));
  const socket = `@ivshmem-idle-${process.pid}`;
  const server = await ServerProgram.start(socket, '--supervised', '--slots', String(MEMBERS + 1));
  t.teardown(() => server.stop('SIGINT'));
  const each = String(MEMBERS / PROCESSES);
  const members: ChildProcess[] = [];
  for (let n = 0; n < PROCESSES; n++) members.push(await start(t, program, socket, `idle${n}`, each));
  const empty = await start(t, '-e', 'setInterval(() => {}, 2 ** 30); console.log(1)');
  t.equal((await server.status()).members.filter(({ attached }) => attached).length, MEMBERS);
  await server.logs('the next server is loaded');

  const ours = [server.process.pid!, server.serving, ...members.map(({ pid }) => pid!)];
  let awake: Readonly<Record<string, number>> = {};
  let windows = 0;
  await until(
    'a window without a wake-up',
    async () => {
      const before = [readActivity(ours), readActivity([empty.pid!])] as const;
      await delay(WINDOW_MS);
      const found = difference(before[0], readActivity(ours));
      const node = difference(before[1], readActivity([empty.pid!]));
      windows++;
      awake = found.awake;
      t.comment(
        `window ${windows}: ${found.switches} wake-ups, ${found.cpuNs} ns of CPU; an empty Node process: ${node.switches}`,
      );
      return found.switches === 0;
    },
    DEADLINE_S,
  ).catch((error: Error) => t.fail(`${error.message}: ${JSON.stringify(awake)}`));
  t.same(awake, {}, `no thread of ${ours.length} processes woke in ${WINDOW_MS / 1000} s`);
});
