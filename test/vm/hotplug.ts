import t, { type Test } from 'tap';
import { Fleet } from './support/fleet.ts';
import { plug, unplug } from './support/hot-plug.ts';
import { Talker } from './support/talker.ts';

t.setTimeout(900_000);
const skip = process.getuid?.() === 0 ? false : 'needs root to build the guest image';

t.test('a device is plugged in and out while members talk', { skip }, async (t) => {
  const fleet = await Fleet.create(t, 64 << 20);
  const [vm, otherVm] = await Fleet.together(
    () => fleet.boot('plugged', { ivshmem: [], ports: 1 }),
    () => fleet.bootBound('other'),
  );
  const [host, other] = await Promise.all([
    Talker.onHost(fleet, 'host'),
    Talker.inVm(otherVm!, 'other', { wait: 'interrupt' }),
  ]);

  /** Plugs, binds, joins, and asks both ways. */
  const join = async (t: Test, wait: 'adaptive' | 'interrupt'): Promise<Talker> => {
    const address = await plug(vm!, fleet.socket);
    await vm!.check('ivshmem bind --driver vfio-pci --user app');
    const plugged = await Talker.inVm(vm!, 'plugged', { wait, env: { MEMBER_ADDRESS: address } });
    for (const member of [host, other]) {
      t.match(await plugged.order('ask', member.name, 20), { count: 20 }, `asks ${member.name}`);
      t.match(await member.order('ask', 'plugged', 20), { count: 20 }, `is asked by ${member.name}`);
    }
    return plugged;
  };

  await t.test('unplugged in the middle of it', async (t) => {
    const plugged = await join(t, 'interrupt');
    await other.order('hold', 'host');
    for (const member of [host, other]) {
      t.notOk((await member.order('hold', 'plugged')).failed);
      t.notOk((await plugged.order('hold', member.name)).failed);
    }
    await unplug(vm!);
    t.match(await plugged.line(/"removed"/), { removed: true }, 'the guest program is told');
    for (const member of [host, other]) {
      const held = new RegExp(`"held":"${member.name}"`);
      t.match(await plugged.line(held), { end: 'died' }, `its channel to ${member.name} ended`);
      t.match(await member.line(/"held":"plugged"/), { end: 'died' }, `so did that of ${member.name}`);
    }
    t.equal(await plugged.ended(), 0, 'it ended by itself: no SIGBUS');
    t.notOk(plugged.said.some(({ fault, defect }) => fault ?? defect));
    t.match(await vm!.qmp.execute('query-status'), { running: true });
    t.equal(await vm!.check('lspci -nd 1af4:1110'), '');
    t.ok(await other.goesOn('host'), 'the others go on');
    t.match(await host.order('ask', 'other', 20), { count: 20 });
  });

  await t.test('plugged in again, and out after peers have left', async (t) => {
    const plugged = await join(t, 'adaptive');
    t.equal((await host.order('close')).failed, undefined);
    await otherVm!.kill();
    t.match(await plugged.order('ask', 'host', 1), { code: 'ERR_IVSHMEM_REFUSED' });
    t.match(await plugged.order('ask', 'other', 1), { code: 'ERR_IVSHMEM_REFUSED' });
    // A server that announces departures makes QEMU free their eventfds twice here, and crash.
    await unplug(vm!);
    t.equal(await plugged.ended(), 0);
    t.match(await vm!.qmp.execute('query-status'), { running: true });
    t.strictSame(fleet.server.status().regions[0]!.members, [], 'nobody is left');
  });

  t.strictSame(await fleet.finish(), [], 'no QEMU is left');
});
