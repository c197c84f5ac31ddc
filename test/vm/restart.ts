import t, { type Test } from 'tap';
import { open } from '../../src/index.ts';
import { until } from '../support/protocol/until.ts';
import { ServerProgram } from '../support/supervised-server.ts';
import { Fleet } from './support/fleet.ts';
import { Observers } from './support/observers.ts';
import { Talker } from './support/talker.ts';

t.setTimeout(900_000);
const skip = process.getuid?.() === 0 ? false : 'needs root to build the guest image';

/** On a busy machine, with every processor emulated. */
const PATIENCE_S = 180;
const KILLS = 5;
const POUR_MIB = 64;
const BLOCK = 64 << 10;
const SIZE = ['--size', '64M'];

t.test('the server is killed and upgraded under live VMs', { skip }, async (t) => {
  const fleet = Fleet.withoutServer(t);
  let server = await ServerProgram.start(fleet.socket, '--supervised', ...SIZE);
  t.teardown(() => server.stop('SIGINT'));
  const [oneVm, twoVm] = await Fleet.together(
    () => fleet.bootBound('one'),
    () => fleet.bootBound('two'),
  );
  const [host, one, two] = await Promise.all([
    Talker.onHost(fleet, 'host'),
    Talker.inVm(oneVm!, 'one', { wait: 'interrupt' }),
    Talker.inVm(twoVm!, 'two'),
  ]);
  const observers = await Observers.start(() => server.status(), host, one, two);
  const { all } = observers;
  for (const from of all)
    for (const to of all)
      if (from !== to && !(from === host && to === one)) await from.order('hold', to.name);
  const { channels } = await server.status();
  t.equal(channels, 6, 'everyone holds everyone');

  /** Everybody is who and where it was, what was open goes on, and what is new works. */
  const check = async (t: Test, newcomer: string): Promise<void> => {
    for (const from of all)
      for (const to of all)
        if (from !== to) t.ok(await from.goesOn(to.name), `${from.name} goes on with ${to.name}`);
    t.notOk(
      all.some(({ said }) => said.some(({ held }) => held)),
      'no channel ended, no answer was wrong',
    );
    const region = await open({ socket: fleet.socket, name: newcomer });
    const join = await observers.see(t, 'join', newcomer);
    t.match(await one.order('ask', 'two', 20), { count: 20 }, 'a new channel between the VMs');
    const channel = await region.connect('echo', { peer: 'one' });
    await channel.write(Buffer.from('newcomer'));
    t.equal(Buffer.from((await channel.next())!.copy()).toString(), 'newcomer', 'the newcomer is served');
    await region.close();
    const leave = await observers.see(t, 'leave', newcomer, 'closed');
    t.ok(leave.view > join.view, 'views go on');
    await until(
      'all but the held channels are closed',
      async () => (await server.status()).channels === channels,
      PATIENCE_S,
    );
    const { members } = await server.status();
    t.strictSame(members.map(({ name }) => name).sort(), ['host', 'one', 'two'], 'who was there is there');
    for (const vm of [oneVm!, twoVm!]) {
      t.match(await vm.qmp.execute('query-status'), { running: true }, `${vm.name} lives`);
      const devices = await vm.qmp.execute<{ filename: string }[]>('query-chardev');
      t.notOk(
        devices.some(({ filename }) => filename.startsWith('disconnected')),
        'its connection never ended',
      );
    }
  };

  await t.test('kill -9 of the server, again and again', async (t) => {
    const pours = [host.order('pour', 'one', POUR_MIB, BLOCK), two.order('pour', 'host', POUR_MIB, BLOCK)];
    for (let n = 0; n < KILLS; n++) {
      await server.killServer();
      await check(t, `after-kill-${n}`);
    }
    for (const poured of await Promise.all(pours))
      t.match(poured, { blocks: (POUR_MIB << 20) / BLOCK, bad: 0 }, 'streams went on through all of it');
  });

  await t.test('upgrade: the supervisor starts the program anew', async (t) => {
    const served = server.count('the server serves');
    const before = server.serving;
    const pour = host.order('pour', 'two', POUR_MIB, BLOCK);
    server.process.kill('SIGHUP');
    await server.logs('the server serves', served + 1);
    t.not(server.serving, before, 'another process serves');
    await check(t, 'after-hup');
    t.match(await pour, { blocks: (POUR_MIB << 20) / BLOCK, bad: 0 }, 'the stream went on');
  });

  await t.test('upgrade: another program takes over', async (t) => {
    const old = server;
    const pour = host.order('pour', 'two', POUR_MIB, BLOCK);
    server = await ServerProgram.start(fleet.socket, '--supervised', '--replace', ...SIZE);
    await until('the old one has ended', () => old.process.exitCode !== null, PATIENCE_S);
    t.equal(old.process.exitCode, 0);
    await check(t, 'after-replace');
    t.match(await pour, { blocks: (POUR_MIB << 20) / BLOCK, bad: 0 }, 'the stream went on');
    await server.killServer();
    await check(t, 'after-last-kill');
  });

  await t.test('members leave as ever', async (t) => {
    observers.agree(t);
    for (const member of all) t.notOk(member.said.some(({ fault, defect }) => fault ?? defect));
    for (const member of all) {
      t.equal((await member.order('close')).failed, undefined);
      t.equal(await member.ended(), 0, member.name);
    }
    await until('nothing is open', async () => (await server.status()).channels === 0, PATIENCE_S);
    t.equal(await server.stop('SIGINT'), 0);
  });

  t.strictSame(await fleet.finish(), [], 'no QEMU is left');
});
