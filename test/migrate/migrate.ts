/** The order of a migration, and what is left after each thing that can go wrong in it; QEMU is played, the servers are real. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { createServer } from '../../src/host/index.ts';
import { open, type Region } from '../../src/index.ts';
import { Migration, type MigrationReport } from '../../src/migrate/migrate.ts';
import { joinUnpluggable } from '../net/support/unpluggable.ts';
import { runToEnd } from '../support/native-build.ts';
import { until } from '../support/protocol/until.ts';
import { FakeQemu, type Faults } from './support/fake-qemu.ts';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

interface Scene {
  readonly sockets: readonly [string, string];
  readonly source: FakeQemu;
  readonly destination: FakeQemu;
  /** What the other member of host 1 saw of the one in the VM. */
  readonly seen: string[];
  readonly said: string[];
  migration(more?: object, signal?: AbortSignal): Promise<Migration>;
}

/** Two hosts with a server each, two QEMUs, and a member in the first that is unplugged and plugged in with its device. */
async function setScene(t: Test): Promise<Scene> {
  const directory = mkdtempSync(join(tmpdir(), 'ivshmem-migrate-'));
  const path = (name: string): string => join(directory, name);
  const sockets = [path('one.sock'), path('two.sock')] as const;
  const hosts = await Promise.all(
    sockets.map((socket) => createServer({ regions: [{ name: 'default', socket, size: 16 << 20 }] })),
  );
  const source = await FakeQemu.start(path('source'), 'running');
  const destination = await FakeQemu.start(path('destination'), 'inmigrate');
  source.destination = destination;
  source.devices.set('shm0', { driver: 'ivshmem-doorbell', chardev: 'shm', vectors: 2, bus: 'port0' });
  source.chardevs.set('shm', sockets[0]);
  const near = await open({ socket: sockets[0], name: 'near', addresses: [] });
  const seen: string[] = [];
  const members = await near.membership();
  members.on('join', ({ member }) => seen.push(`${member.name} joins`));
  members.on('update', ({ member }) => seen.push(`${member.name} ${member.state}`));
  members.on('leave', ({ member, reason }) => seen.push(`${member.name} ${reason}`));
  const regions: Region[] = [near];
  // The program in the guest.
  const plug = async (socket: string): Promise<void> => {
    const member = await joinUnpluggable(socket, { name: 'guest', addresses: [] });
    regions.push(member.region);
    source.onUnplug = (id) => {
      if (id === 'shm0') member.unplug();
    };
  };
  await plug(sockets[0]);
  await until('the guest is seen', () => seen.length === 1);
  const plugging: Promise<void>[] = [];
  for (const qemu of [source, destination])
    qemu.onPlug = (id, socket) => {
      if (id === 'shm0') plugging.push(plug(socket));
    };
  const said: string[] = [];
  const migrations: Migration[] = [];
  t.teardown(async () => {
    for (const one of [...migrations, source, destination]) one.close();
    await Promise.all(plugging);
    for (const region of regions) await region.close();
    for (const host of hosts) await host.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const migration = async (more: object = {}, signal = new AbortController().signal): Promise<Migration> => {
    const options = {
      ...{ devices: ['shm0'], socket: sockets[0], toSocket: sockets[1], members: ['guest'] },
      ...{ drainMs: 5000, unplugMs: 5000, migrateMs: 20_000, ...more },
    };
    const qmp = { source: source.path, destination: destination.path };
    const tell = (step: string, text: string): void => void said.push(`${step}: ${text}`);
    const opened = await Migration.open(options, qmp, tell, signal);
    migrations.push(opened);
    return opened;
  };
  return { sockets, source, destination, seen, said, migration };
}

const UNPLUG = ['device_del', 'chardev-remove'];
const PLUG = ['chardev-add', 'device_add'];

t.test('drains, unplugs, migrates, plugs in', async (t) => {
  const { sockets, source, destination, seen, said, migration } = await setScene(t);
  const one = await migration();
  const plan = await one.check();
  t.match(plan, {
    devices: [{ facts: { bus: 'port0', vectors: 2 } }],
    running: true,
    members: [{ name: 'guest' }],
  });
  t.strictSame(source.did, [], 'a check changes nothing');
  const report: MigrationReport = await one.run();
  t.match(report, {
    devices: ['shm0'],
    members: [{ name: 'guest', epoch: 1 }],
    uri: `unix:${destination.path}.in`,
    channels: 0,
    downtimeMs: 7,
    transferredBytes: 1 << 20,
  });
  t.strictSame(source.did, [...UNPLUG, 'migrate']);
  t.strictSame(destination.did, PLUG);
  t.strictSame(destination.devices.get('shm0'), {
    ...{ driver: 'ivshmem-doorbell', chardev: 'shm', vectors: 2, bus: 'port0' },
  });
  t.equal(destination.chardevs.get('shm'), sockets[1]);
  t.equal(destination.status, 'running');
  await until('the leave is seen', () => seen.length === 3);
  t.strictSame(seen, ['guest joins', 'guest leaving', 'guest migrated']);
  const steps = said.map((line) => line.split(':')[0]);
  t.strictSame([...new Set(steps)], ['check', 'drain', 'unplug', 'migrate', 'plug']);
});

t.test('a guest that was stopped stays so; a destination with -S is started', async (t) => {
  const stopped = await setScene(t);
  stopped.source.status = 'paused';
  stopped.source.faults.migration = 'never';
  const one = await stopped.migration({ migrateMs: 100 });
  await t.rejects(one.run(), { code: 'ERR_IVSHMEM_MIGRATE_FAILED' });
  t.strictSame(stopped.source.did, [...UNPLUG, 'migrate', 'migrate_cancel', ...PLUG], 'nobody starts it');

  const { destination, migration } = await setScene(t);
  destination.faults.stopped = true;
  await (await migration()).run();
  t.strictSame(destination.did, ['cont', ...PLUG]);
});

t.test('an emulated guest is stopped while it is copied', async (t) => {
  const { source, destination, migration, said } = await setScene(t);
  source.faults.emulated = true;
  const report = await (await migration()).run();
  t.strictSame(source.did, [...UNPLUG, 'stop', 'migrate']);
  t.strictSame(destination.did, ['cont', ...PLUG], 'it goes on before the device is there');
  t.equal(destination.status, 'running');
  t.not(report.downtimeMs, 7, 'QEMU knows of the end of it only');
  t.match(said.join('\n'), /stopped meanwhile/);

  const paused = await setScene(t);
  paused.source.faults.emulated = true;
  paused.source.status = 'paused';
  await (await paused.migration()).run();
  t.strictSame(paused.source.did, [...UNPLUG, 'migrate']);
  t.strictSame(paused.destination.did, PLUG, 'one that was paused stays so');
  t.equal(paused.destination.status, 'paused');
});

interface Case {
  readonly what: string;
  readonly source?: Faults;
  readonly destination?: Faults;
  readonly options?: object;
  readonly code: string;
  readonly says: RegExp;
  /** Commands that the source got. */
  readonly did: readonly string[];
  /** What the others saw of the member, after it joined. */
  readonly seen: readonly string[];
}

const STAYS = ['guest leaving', 'guest active'];
const BACK = ['guest leaving', 'guest migrated', 'guest joins'];
const GONE = ['guest leaving', 'guest migrated'];
const FAILED = 'ERR_IVSHMEM_MIGRATE_FAILED';

const cases: readonly Case[] = [
  {
    what: 'the guest keeps the device',
    source: { unplug: 'never' },
    options: { unplugMs: 100 },
    code: 'ERR_IVSHMEM_MIGRATE_UNPLUG',
    says: /did not let go of shm0 within 0\.1 s/,
    did: ['device_del'],
    seen: STAYS,
  },
  {
    what: 'the guest refuses',
    source: { unplug: 'refused' },
    code: 'ERR_IVSHMEM_MIGRATE_UNPLUG',
    says: /the guest refuses/,
    did: ['device_del'],
    seen: STAYS,
  },
  {
    what: 'QEMU refuses to unplug',
    source: { refuse: { device_del: 'Device shm0 is already in the process of unplug' } },
    code: 'ERR_IVSHMEM_MIGRATE_UNPLUG',
    says: /already in the process of unplug/,
    did: [],
    seen: STAYS,
  },
  {
    what: 'QEMU refuses to migrate',
    source: { refuse: { migrate: 'Migration is disabled' } },
    code: FAILED,
    says: /Migration is disabled/,
    did: [...UNPLUG, ...PLUG],
    seen: BACK,
  },
  {
    what: 'a destination that does not know the capability',
    destination: { refuse: { 'migrate-set-capabilities': 'no such thing' } },
    code: FAILED,
    says: /no such thing/,
    did: [...UNPLUG, ...PLUG],
    seen: BACK,
  },
  {
    what: 'the migration fails',
    source: { migration: 'failed' },
    code: FAILED,
    says: /the cable is cut/,
    did: [...UNPLUG, 'migrate', ...PLUG],
    seen: BACK,
  },
  {
    what: 'the migration does not end',
    source: { migration: 'never' },
    options: { migrateMs: 100 },
    code: FAILED,
    says: /longer than 0\.1 s/,
    did: [...UNPLUG, 'migrate', 'migrate_cancel', ...PLUG],
    seen: BACK,
  },
  {
    what: 'the migration of an emulated guest fails',
    source: { migration: 'failed', emulated: true },
    code: FAILED,
    says: /the cable is cut/,
    did: [...UNPLUG, 'stop', 'migrate', 'cont', ...PLUG],
    seen: BACK,
  },
  {
    what: 'there is no way back',
    source: { migration: 'failed', refuse: { device_add: 'no bus' } },
    code: 'ERR_IVSHMEM_MIGRATE_RETURN',
    says: /the cable is cut, and then: .*no bus/,
    did: [...UNPLUG, 'migrate', 'chardev-add', 'chardev-remove'],
    seen: GONE,
  },
  {
    what: 'the source dies',
    source: { migration: 'dies' },
    code: 'ERR_IVSHMEM_MIGRATE_RETURN',
    says: /QEMU is gone/,
    did: [...UNPLUG, 'migrate'],
    seen: GONE,
  },
  {
    what: 'the destination cannot plug it in',
    destination: { refuse: { device_add: 'no server' } },
    code: 'ERR_IVSHMEM_MIGRATE_PLUG',
    says: /no server.*two\.sock/,
    did: [...UNPLUG, 'migrate'],
    seen: GONE,
  },
];

for (const { what, source, destination, options, code, says, did, seen } of cases)
  t.test(what, async (t) => {
    const scene = await setScene(t);
    Object.assign(scene.source.faults, source);
    Object.assign(scene.destination.faults, destination);
    const one = await scene.migration(options);
    await t.rejects(one.run(), { code, message: says });
    t.strictSame(scene.source.did, did);
    await until(`${seen} is seen, not ${scene.seen}`, () => scene.seen.length > seen.length);
    t.strictSame(scene.seen.slice(1), seen);
    const back = did.at(-1) !== 'migrate' && did.at(-1) !== 'chardev-remove';
    t.equal(scene.source.devices.size, back ? 1 : 0);
    if (back) t.equal(scene.source.chardevs.get('shm'), scene.sockets[0]);
  });

/** A second device, which no program has. */
function addDevice({ source, sockets }: Scene): void {
  source.devices.set('shm1', { driver: 'ivshmem-doorbell', chardev: 'more', vectors: 2, bus: 'port1' });
  source.chardevs.set('more', sockets[0]);
}

t.test('two devices go together', async (t) => {
  const scene = await setScene(t);
  addDevice(scene);
  const { source, destination, sockets } = scene;
  const one = await scene.migration({ devices: ['shm0', 'shm1'], toBuses: ['port4', 'port5'] });
  t.match(await one.run(), { devices: ['shm0', 'shm1'], members: [{ name: 'guest' }] });
  t.strictSame(source.did, [...UNPLUG, ...UNPLUG, 'migrate']);
  t.strictSame(destination.did, [...PLUG, ...PLUG]);
  t.strictSame(
    [destination.devices.get('shm0')!.bus, destination.devices.get('shm1')!.bus],
    ['port4', 'port5'],
  );
  t.strictSame(
    [...destination.chardevs],
    [
      ['shm', sockets[1]],
      ['more', sockets[1]],
    ],
  );
});

t.test('the guest lets go of the first device only: that one comes back', async (t) => {
  const scene = await setScene(t);
  addDevice(scene);
  const { source } = scene;
  Object.assign(source.faults, { unplug: 'refused', keeps: 'shm1' });
  const one = await scene.migration({ devices: ['shm0', 'shm1'] });
  await t.rejects(one.run(), { code: 'ERR_IVSHMEM_MIGRATE_UNPLUG', message: /the guest refuses/ });
  t.strictSame(source.did, [...UNPLUG, 'device_del', ...PLUG]);
  t.strictSame([...source.devices.keys()].sort(), ['shm0', 'shm1']);
  await until('it is back', () => scene.seen.at(-1) === 'guest joins');
});

t.test('interrupted in the middle: everything is as before', async (t) => {
  const { source, seen, migration } = await setScene(t);
  source.faults.migration = 'never';
  const abort = new AbortController();
  const one = await migration({}, abort.signal);
  const failed = t.rejects(one.run(), { code: FAILED, message: /interrupted/ });
  await until('it migrates', () => source.did.includes('migrate'));
  abort.abort();
  await failed;
  t.strictSame(source.did, [...UNPLUG, 'migrate', 'migrate_cancel', ...PLUG]);
  await until('it is back', () => seen.length === 4);
  t.equal(source.status, 'running');
});

t.test('what is seen beforehand changes nothing', async (t) => {
  const { source, destination, migration, seen } = await setScene(t);
  const device = source.devices.get('shm0')!;
  const refused = async (says: RegExp, options: object = {}): Promise<void> => {
    const one = await migration(options);
    await t.rejects(one.run(), { code: 'ERR_IVSHMEM_MIGRATE_CHECK', message: says });
    one.close();
  };
  await refused(/no device of that name/, { devices: ['shm1'] });
  await refused(/named twice/, { devices: ['shm0', 'shm0'] });
  await refused(/no member named nobody, not 1/, { members: ['nobody'] });
  await refused(/2 members of the QEMU .*, not 1/, { members: undefined });
  device.driver = 'ivshmem-plain';
  await refused(/of the type ivshmem-plain/);
  device.driver = 'ivshmem-doorbell';
  device.bus = 'pcie.0';
  await refused(/not for hot-plug.*pcie-root-port/);
  device.bus = 'port0';
  source.status = 'prelaunch';
  await refused(/state prelaunch/);
  source.status = 'running';
  destination.status = 'running';
  await refused(/destination is in the state running/);
  destination.status = 'inmigrate';
  destination.devices.set('shm0', device);
  await refused(/has that device already/);
  destination.devices.clear();
  destination.chardevs.set('shm', 'x');
  await refused(/has a chardev shm already/);
  t.strictSame([source.did, destination.did], [[], []]);
  t.strictSame(seen, ['guest joins']);
});

t.test('a monitor that serves somebody else, and one that is not there', async (t) => {
  const { destination, migration } = await setScene(t);
  destination.faults.mute = true;
  await t.rejects(migration(), { code: 'ERR_IVSHMEM_QMP_CONNECT', message: /does not greet/ });
  destination.close();
  await t.rejects(migration(), { code: 'ERR_IVSHMEM_QMP_CONNECT' });
});

for (const says of ['null', '7', '"QMP"', 'HTTP/1.1 400 Bad Request']) {
  t.test(`who says ${says} is no monitor`, async (t) => {
    const { destination, migration } = await setScene(t);
    destination.faults.says = says;
    await t.rejects(migration(), { code: 'ERR_IVSHMEM_QMP_CONNECT', message: /closed the connection/ });
  });
}

t.test('as a command', async (t) => {
  const { sockets, source, destination } = await setScene(t);
  const ivshmem = (...args: string[]) =>
    runToEnd(process.execPath, ['--import', 'tsx', main, 'migrate', ...args], 60_000);
  const words = ['shm0', '--qmp', source.path, '--to-qmp', destination.path, '--member', 'guest'];
  const where = ['--socket', sockets[0], '--to-socket', sockets[1]];
  const checked = await ivshmem(...words, ...where, '--check');
  t.match(checked, {
    code: 0,
    output: /check: shm0 on port0, in use by guest; .*\nnothing stands in the way/,
  });
  const wrong = await ivshmem('shm1', ...words.slice(1), ...where);
  t.match(wrong, { code: 1, output: /ERR_IVSHMEM_MIGRATE_CHECK/ });
  t.match(await ivshmem('shm0'), { code: 2, output: /--qmp/ });
  const done = await ivshmem(...words, ...where);
  t.match(done, { code: 0, output: /drain: 0 channels.*\nunplug: .*\nmigrate: completed.*\nplug: / });
  t.ok(destination.devices.has('shm0'));
});
