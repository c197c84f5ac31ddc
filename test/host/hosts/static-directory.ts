import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { create, findSpace } from '../../../src/host/hosts/decisions.ts';
import type { HostState } from '../../../src/host/hosts/directory.ts';
import { StateFile } from '../../../src/host/hosts/state-file.ts';
import { StaticDirectory } from '../../../src/host/hosts/static-directory.ts';
import { silentLog } from '../../../src/host/log.ts';
import { lacking } from '../../support/native-build.ts';
import { until } from '../../support/protocol/until.ts';
import { testFolder } from '../../support/test-folder.ts';
import { wantedSpace } from './support/wanted-space.ts';

const STATE_PROGRAM = fileURLToPath(new URL('support/state-program.ts', import.meta.url));
const HOSTS = ['a', 'b', 'c'].map((name) => ({ name, address: `${name}:1` }));
/** Of one text (src/native/hosts-binding.ts). */
const MOST_TOLD = 65_536;
// A directory keeps nobody alive by itself.
const alive = setInterval(() => {}, 60_000);
t.teardown(() => clearInterval(alive));

const NAMES = HOSTS.map(({ name }) => name);

/** Directories of one process that reach each other at once, and files as on three machines. */
function cluster(folder: string, hosts = HOSTS, leaseMs = 2000) {
  const directories: StaticDirectory[] = [];
  const states: HostState[][] = hosts.map(() => []);
  const make = (node: number): StaticDirectory =>
    new StaticDirectory({
      hosts,
      self: hosts[node]!.name,
      leaseMs,
      fenceMs: leaseMs / 4,
      store: new StateFile(
        join(folder, `${hosts[node]!.name}.json`),
        hosts.map(({ name }) => name),
        hosts[node]!.name,
      ),
      tell: (to, text) => {
        const other = directories[to];
        if (other === undefined || other.state === 'closed') return false;
        // As it goes over the wire.
        const bytes = Buffer.from(text);
        if (bytes.length > MOST_TOLD) throw new RangeError('a text is too long');
        setImmediate(() => other.told(node, bytes.toString()));
        return true;
      },
      log: silentLog,
    });
  const start = (node: number): void => {
    directories[node] = make(node);
    const nothing = (): void => {};
    directories[node].start({
      decided: nothing,
      lease: nothing,
      state: (state) => states[node]!.push(state),
    });
  };
  for (const node of hosts.keys()) start(node);
  t.teardown(async () => {
    for (const directory of directories) await directory.close(true);
  });
  return { directories, states, start };
}

t.test('three hosts agree, and remember when they were all off', async (t) => {
  const folder = testFolder(t);
  const first = cluster(folder);
  await until('all serve', () =>
    first.directories.every(({ state, decided }) => state === 'serving' && decided.view.seats.length === 3),
  );
  // Longer than one text, and in characters of two units, which begin at even places and at odd ones.
  const access = Array.from({ length: 60 }, (_, i) => `${'\u{1f5c4}'.repeat(400)}${'-'.repeat(i % 2)}${i}`);
  const space = { ...wantedSpace, access };
  const decided = await first.directories[2]!.change(create(space), 10_000);
  t.match(findSpace(decided!, 'r', 'm'), { id: 1, name: 'm' });
  await until('all know the space', () => first.directories.every((one) => one.decided.spaces.length === 1));
  for (const one of first.directories) t.same(one.decided.spaces[0]!.access, access, 'the same everywhere');
  for (const directory of first.directories) await directory.close(true);
  t.equal(await first.directories[0]!.change(create(space), 10), null, 'closed');

  const second = cluster(folder);
  await until('all serve again', () => second.directories.every(({ state }) => state === 'serving'));
  t.match(second.directories[0]!.decided.spaces, [{ id: 1, name: 'm' }]);
  t.ok(second.directories[0]!.decided.view.epoch > decided!.view.epoch);
  t.ok(second.directories[0]!.incarnation > first.directories[0]!.incarnation);
  second.directories[1]!.told(0, '.{"kind":"grant"}');
  second.directories[1]!.told(0, '.nonsense');
  second.directories[1]!.told(0, '');
  await second.directories[0]!.close(true);
  await second.directories[2]!.close(true);
  await until('the last one fences', () => second.directories[1]!.state === 'fencing');
  t.same(second.states[1], ['serving', 'fencing']);
  second.directories[1]!.rejoin();
  await until(
    'it hears nobody',
    () => second.directories[1]!.trouble === '1 of 3 hosts hear each other, and it takes more than half',
  );
  await second.directories[1]!.close(true);
});

t.test('a state file that is not this one is refused', (t) => {
  const folder = testFolder(t);
  const path = join(folder, 'state.json');
  const file = new StateFile(path, NAMES, 'a');
  const state = { ...file.load(), incarnation: 3, promised: 7 };
  file.save(state);
  t.same(file.load(), state);
  t.throws(() => new StateFile(path, NAMES, 'b').load(), /of host a among/);
  t.throws(() => new StateFile(path, ['a', 'b'], 'a').load(), /not of a among a, b/);
  writeFileSync(path, readFileSync(path, 'utf8').slice(0, 40));
  t.throws(() => file.load(), { code: 'ERR_IVSHMEM_HOSTS_STATE' });
  t.throws(() => new StateFile(join(folder, 'no', 'folder'), NAMES, 'a').save(state), /ENOENT/);
  t.throws(() => new StateFile(folder, NAMES, 'a').load(), /EISDIR/);
  t.end();
});

t.test(
  'what does not get onto the disk as a whole leaves what is there',
  { skip: lacking('prlimit') },
  (t) => {
    const path = join(testFolder(t), 'state.json');
    const file = new StateFile(path, NAMES, 'a');
    const before = { ...file.load(), incarnation: 3, promised: 7 };
    file.save(before);
    const words = ['--import', 'tsx', STATE_PROGRAM, path, NAMES.join(), '1000'];
    // By an error, or by the kernel.
    t.not(spawnSync(process.execPath, words, { stdio: 'pipe' }).status, 0, 'it does not go on');
    t.same(file.load(), before);
    t.end();
  },
);

t.test('without its disk a host stops to take part', async (t) => {
  const folder = testFolder(t);
  let works = true;
  const file = new StateFile(join(folder, 'a.json'), ['a'], 'a');
  const directory = new StaticDirectory({
    hosts: [HOSTS[0]!],
    self: 'a',
    leaseMs: 1000,
    fenceMs: 100,
    store: {
      load: () => file.load(),
      save(durable) {
        if (!works) throw new Error('no space left on device');
        file.save(durable);
      },
    },
    tell: () => false,
    log: silentLog,
  });
  const states: HostState[] = [];
  directory.start({ decided() {}, lease() {}, state: (state) => states.push(state) });
  await until('it serves', () => directory.state === 'serving');
  works = false;
  t.equal(await directory.change(create(wantedSpace), 5000), null);
  t.equal(directory.trouble, 'no space left on device');
  t.same(states, ['serving', 'closed']);
  await directory.close(true);
});
