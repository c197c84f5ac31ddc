import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { serveRegion } from '../support/busy-region.ts';
import { type Outcome, runToEnd } from '../support/native-build.ts';
import { bundledServer } from '../support/supervised-server.ts';

const words = [await bundledServer()];
const env = { ...process.env, IVSHMEM_SOCKET: '' };

const ivshmem = (...args: string[]): Promise<Outcome> =>
  runToEnd('env', ['IVSHMEM_SOCKET=', process.execPath, ...words, ...args], 60_000);

/** `members --watch` and its lines, one after the other. */
function watching(t: Test, ...args: string[]) {
  const child = spawn(process.execPath, [...words, 'members', '--watch', ...args], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  return { child, ended, next: async () => (await lines.next()).value as string };
}

t.test('lists who is in the region', async (t) => {
  const served = await serveRegion('listed');
  t.teardown(() => served.close());
  const empty = await ivshmem('members', '--socket', served.socket);
  t.match(empty, { code: 0, output: 'region listed, view 0: nobody\n' });
  const web = await served.join('web', { addresses: ['10.0.0.1'], labels: { role: 'front' } });
  await web.listen('pages');
  const said = await ivshmem('members', '--socket', served.socket);
  t.match(said.output, /^region listed, view \d+: 1 member\nSLOT +EPOCH +NAME +STATE/);
  t.match(said.output, /\n1 +1 +web +active +host +\d+ +20.*Z +10\.0\.0\.1, role=front, listens to pages\n/);

  const json = await ivshmem('members', '--json', '--socket', served.socket);
  t.match(JSON.parse(json.output), {
    region: 'listed',
    view: Number,
    members: [
      {
        slot: 1,
        epoch: 1,
        name: 'web',
        state: 'active',
        backend: 'host',
        pid: process.pid,
        uid: process.getuid!(),
        gid: process.getgid!(),
        addresses: ['10.0.0.1'],
        labels: { role: 'front' },
        listeners: ['pages'],
        listenersTruncated: false,
        since: /^\d{4}-.*Z$/,
      },
    ],
  });
});

t.test('--watch prints each change, and ends with 0 when interrupted', async (t) => {
  const served = await serveRegion('watched');
  t.teardown(() => served.close());
  await served.join('first');
  const json = watching(t, '--json', '--socket', served.socket);
  t.match(JSON.parse(await json.next()), {
    event: 'members',
    region: 'watched',
    members: [{ name: 'first' }],
  });
  const text = watching(t, '--socket', served.socket);
  t.match(await text.next(), /^region watched, view \d+: 1 member$/);
  t.match(await text.next(), /^SLOT/);
  t.match(await text.next(), /first/);

  const second = await served.join('second');
  await second.close({ reason: 'migrated' });
  const event = async (): Promise<object> => JSON.parse(await json.next());
  const joined = await event();
  t.match(joined, { event: 'join', view: Number, at: /Z$/, member: { slot: 2, name: 'second' } });
  t.match(await text.next(), /Z view \d+ join +second \(slot 2, epoch 1, host\)/);
  t.match(await text.next(), /Z view \d+ leave +second \(slot 2, epoch 1, host\): migrated/);
  t.match(await event(), { event: 'leave', reason: 'migrated', member: { slot: 2, name: 'second' } });

  json.child.kill('SIGINT');
  t.equal(await json.ended, 0);
  // Its reader goes away: EPIPE at the next line.
  text.child.stdout.destroy();
  await served.join('third');
  await served.join('fourth');
  t.equal(await text.ended, 0);
});

t.test('--watch goes on with the server that comes next', async (t) => {
  const socket = `@ivshmem-next-${process.pid}`;
  const served = await serveRegion('next', { socket });
  t.teardown(() => served.close());
  const json = watching(t, '--json', '--socket', socket);
  t.match(JSON.parse(await json.next()), { event: 'members', view: 0 });
  await served.server.close();
  const later = await serveRegion('next', { socket });
  t.teardown(() => later.close());
  t.match(JSON.parse(await json.next()), { event: 'members', view: 0 });
  await (await later.join('a')).close();
  t.match(JSON.parse(await json.next()), { event: 'join' });
});

t.test('evict takes a member out', async (t) => {
  const served = await serveRegion('evicting');
  t.teardown(() => served.close());
  await served.join('stays');
  const bad = await served.join('bad');
  const members = await (await served.join('looks')).membership();
  const events = members[Symbol.asyncIterator]();
  const said = await ivshmem('evict', 'bad', '--socket', served.socket);
  t.equal(said.code, 0);
  t.match(said.output, /^bad \(slot 2, epoch 1\) is evicted/);
  t.match((await events.next()).value, { type: 'leave', reason: 'evicted', member: { name: 'bad' } });
  await t.rejects(bad.listen('x'), { code: 'ERR_IVSHMEM_REFUSED' });

  const again = await ivshmem('evict', 'bad', '--socket', served.socket);
  t.match(again, { code: 1, output: /ERR_IVSHMEM_NO_MEMBER/ });
  for (const nobody of ['99', '99999999999999999999', 'x'.repeat(200)])
    t.match(await ivshmem('evict', nobody, '--socket', served.socket), {
      code: 1,
      output: /none has this name or slot[\s\S]*ERR_IVSHMEM_NO_MEMBER/,
    });
  const bySlot = await ivshmem('evict', '1', '--json', '--socket', served.socket);
  t.match(JSON.parse(bySlot.output), { slot: 1, name: 'stays' });
});

t.test('drain, and take it back', async (t) => {
  const served = await serveRegion('draining');
  t.teardown(() => served.close());
  await served.join('mover');
  const members = await (await served.join('looks')).membership();
  const events = members[Symbol.asyncIterator]();
  const ask = (...more: string[]) => ivshmem('drain', 'mover', ...more, '--socket', served.socket);
  t.match(await ask(), { code: 0, output: /^mover \(slot 1, epoch 1\) has no channels any more/ });
  t.match((await events.next()).value, { type: 'update', member: { name: 'mover', state: 'leaving' } });
  t.match(JSON.parse((await ask('--migrates', '--json')).output), { member: { slot: 1 }, channels: 0 });
  t.match(await ask('--undo'), { code: 0, output: /stays/ });
  t.match((await events.next()).value, { type: 'update', member: { name: 'mover', state: 'active' } });
  t.match(await ask('--timeout', '601'), { code: 2 });
});

t.test('where nobody serves', async (t) => {
  for (const command of [['members'], ['top', '--once'], ['evict', 'x'], ['drain', 'x']]) {
    const said = await ivshmem(...command, '--socket', '/nowhere/r.sock');
    t.match(said, { code: 1, output: /\/nowhere\/r\.sock\.control[\s\S]*ERR_IVSHMEM_CONTROL_CONNECT/ });
  }
});
