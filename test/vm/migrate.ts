/** Two hosts, each with its own server: a VM moves to the second and back under load, and none of its connections notices. */
import t, { type Test } from 'tap';
import type { Vm } from '../../qemu/vm.ts';
import { open } from '../../src/index.ts';
import type { MigrationReport } from '../../src/migrate/migrate.ts';
import { runToEnd } from '../support/native-build.ts';
import { until } from '../support/protocol/until.ts';
import { bundledServer } from '../support/supervised-server.ts';
import { noTun } from '../tun/support/namespaces.ts';
import { Migrant, migrantEntry } from './support/migrant.ts';
import { Session, trafficEntry, tunIn, wayTo } from './support/session.ts';
import { DEVICES, type Host, type Mobile, TwoHosts } from './support/two-hosts.ts';

t.setTimeout(900_000);
const skip = noTun();

/** Gives the devices that were plugged in to the programs of the user `app`, as a rule of udev would. Resolves with their addresses. */
async function bind(vm: Vm): Promise<[sockets: string, tun: string]> {
  // Plugged in is not yet found: that takes the guest a moment.
  const found = `until [ $(lspci -nd 1af4:1110 | wc -l) = ${DEVICES.length} ]; do sleep 0.2; done`;
  const bound = 'ivshmem bind --all --driver vfio-pci --user app >&2';
  const list = await vm.check(`${found}; ${bound} && lspci -Dnd 1af4:1110`);
  const [sockets, tun] = list.trim().split('\n');
  return [sockets!.split(' ')[0]!, tun!.split(' ')[0]!];
}

async function migrate(t: Test, from: Mobile, here: Host, to: Mobile, there: Host): Promise<void> {
  const words = ['migrate', ...DEVICES, '--qmp', from.qmp, '--to-qmp', to.qmp, '--json'];
  // A machine that is busy with other things must not make a difference.
  const patience = ['--drain-timeout', '180', '--unplug-timeout', '180'];
  const sockets = ['--socket', here.socket, '--to-socket', there.socket];
  const program = [process.execPath, await bundledServer(), ...words, ...patience, ...sockets];
  const { code, output } = await runToEnd('env', ['NODE_OPTIONS=', ...program], 420_000);
  t.equal(code, 0, output);
  const report = JSON.parse(output.slice(output.indexOf('{'))) as MigrationReport;
  t.match(report, { devices: DEVICES, channels: 0 });
  const names = report.members.map(({ name }) => name.replace(/-\d+$/, '')).sort();
  t.strictSame(names, ['mover', 'tun-mover']);
  t.comment(JSON.stringify(report));
  await to.vm.takeOver(from.vm);
}

t.test('a VM moves to another host and back under load', { skip }, async (t) => {
  const start = performance.now();
  /** For whoever looks where the time goes. */
  const stage = (name: string): void =>
    t.comment(`${Math.round((performance.now() - start) / 1000)} s: ${name}`);
  const two = await TwoHosts.create(t, { migrant: migrantEntry, traffic: trafficEntry });
  const [first, second] = two.hosts as [Host, Host];
  const seen: string[] = [];
  const onlooker = await open({ socket: first.socket, name: 'onlooker', addresses: [] });
  t.teardown(() => onlooker.close());
  const members = await onlooker.membership();
  members.on('join', ({ member }) => seen.push(`${member.name.replace(/-\d+$/, '')} joins`));
  members.on('leave', ({ member, reason }) => seen.push(`${member.name.replace(/-\d+$/, '')} ${reason}`));

  const network = await first.bridge.attach();
  const address = network.address.replace(/\/.*/, '');
  const here = await two.mobile('mover', network, first.socket);
  const neighbour = await two.launch('neighbour', {
    network: await first.bridge.attach(),
    ivshmem: DEVICES.map(() => ({ kind: 'doorbell', server: first.socket })),
  });
  await Promise.all([here.vm.ready(), neighbour.ready()]);
  stage('up');
  const [[sockets, tun], [nearSockets, nearTun]] = await Promise.all([bind(here.vm), bind(neighbour)]);

  stage('bound');
  const [mover, near, { migrant: far, child }] = await Promise.all([
    Migrant.inVm(here.vm, 'mover', sockets),
    Migrant.inVm(neighbour, 'near', nearSockets),
    Migrant.onHost(second.bridge, second.socket, 'far', second.address),
  ]);
  t.teardown(() => child.kill('SIGKILL'));
  const neighbourAddress = '10.77.0.2';
  const way = (): Promise<string | undefined> => wayTo(neighbour, address);
  let tunMover = tunIn(here.vm, tun, address);
  const tunNear = tunIn(neighbour, nearTun, neighbourAddress);
  const meetings = (): number => tunNear.stdout.match(/^\+ tun-mover /gm)?.length ?? 0;
  /** Resolves when the interfaces have found each other once more than so many times. */
  const meet = (before: number) => until('they meet', () => meetings() > before, 240);
  await Promise.all([
    near.order('load', address),
    far.order('load', address),
    mover.order('load', neighbourAddress),
  ]);
  await Promise.all([near.on('shared-memory'), mover.on('shared-memory'), far.on('tcp'), meet(0)]);
  const session = await Session.open(neighbour, here.vm, address);
  await session.goesOn();
  t.equal(await way(), 'ivshm0', 'the session is carried by the IP interface');

  stage('shared');
  const there = await two.mobile('mover', await second.bridge.attach(network), null);
  await migrate(t, here, first, there, second);
  await Promise.all([near.on('tcp'), mover.on('tcp'), far.on('tcp'), session.goesOn()]);
  t.equal(await way(), 'eth0', 'the session is carried by the network');
  t.equal((await tunMover.wait()).status, 1, 'its device was unplugged');
  stage('there');
  t.strictSame(await bind(there.vm), [sockets, tun], 'both are where they were');
  tunMover = tunIn(there.vm, tun, address);
  await Promise.all([far.on('shared-memory'), near.on('tcp'), tunMover.waitFor(/^ivshm0 is up/m)]);

  stage('shared there');
  const back = await two.mobile('mover', await first.bridge.attach(network), null);
  await migrate(t, there, second, back, first);
  await Promise.all([near.on('tcp'), far.on('tcp'), tunMover.wait()]);
  stage('back');
  await bind(back.vm);
  const met = meetings();
  tunMover = tunIn(back.vm, tun, address);
  await Promise.all([near.on('shared-memory'), mover.on('shared-memory'), far.on('tcp'), meet(met)]);
  t.equal(await way(), 'ivshm0', 'the session is carried by the IP interface again');
  await session.goesOn();
  t.strictSame(session.faults, []);
  t.comment(`the longest silence of the session: ${session.longestSilence} ms`);

  stage('shared again');
  const all = [near, far, mover];
  const stopped = await Promise.all(all.map((migrant) => migrant.order('stop')));
  for (const [i, { name, faults }] of all.entries()) {
    for (const { kind, fault, connections, bytes, rounds } of stopped[i]!.talks!) {
      const what = `${name}, ${kind}: ${rounds} answers, ${bytes} bytes, ${connections} connections`;
      t.equal(fault, null, what);
      t.equal(connections, kind === 'http' ? 3 : 1, 'none was made anew');
    }
    t.strictSame(faults, [], name);
  }
  stage('stopped');
  await until('the last join', () => seen.filter((each) => each === 'mover joins').length === 2);
  t.strictSame(
    seen.filter((each) => each.startsWith('mover')),
    ['mover joins', 'mover migrated', 'mover joins'],
  );
});
