import t, { type Test } from 'tap';
import type { Vm } from '../../qemu/vm.ts';
import { open } from '../../src/index.ts';
import { until } from '../support/protocol/until.ts';
import { Fleet } from './support/fleet.ts';
import { dieHolding } from './support/held.ts';
import { plug, unplug } from './support/hot-plug.ts';
import { Observers } from './support/observers.ts';
import { panicAndReboot } from './support/reboot.ts';
import { Talker } from './support/talker.ts';

t.setTimeout(900_000);
const skip = process.getuid?.() === 0 ? false : 'needs root to build the guest image';

const BIND = 'ivshmem bind --driver vfio-pci --user app';
const SUSPECT_MS = 2000;
const BURST = 200;

t.test('every way to go, as a host process and a VM see it', { skip }, async (t) => {
  // One member may take all there is. The server has a slot, too; the last one is that of the third VM's device, or of a process of the host.
  const fleet = await Fleet.create(
    t,
    64 << 20,
    {},
    { slots: 5, channels: 288, quota: { channels: 288, heap: 1 } },
  );
  const [observerVm, vm, pluggedVm] = await Fleet.together(
    () => fleet.bootBound('observer'),
    () => fleet.bootBound('victim', 'vfio-pci', { onReboot: 'reset' }),
    () => fleet.boot('plugged', { ivshmem: [], ports: 1 }),
  );
  const [host, guest] = await Promise.all([
    Talker.onHost(fleet, 'host'),
    Talker.inVm(observerVm!, 'guest', { wait: 'interrupt' }),
  ]);
  const observers = await Observers.start(() => fleet.server.status().regions[0]!, host, guest);

  /** A program in a VM that is a member with channels to and from everyone. */
  const member = async (t: Test, name: string, where: Vm, address?: string): Promise<Talker> => {
    const env: Record<string, string> = address === undefined ? {} : { MEMBER_ADDRESS: address };
    const one = await Talker.inVm(where, name, { env });
    await observers.see(t, 'join', name);
    await observers.entangle(one);
    return one;
  };

  await t.test('closes', async (t) => {
    const closer = await member(t, 'closer', vm!);
    await closer.order('describe', 'role', 'closer');
    await observers.see(t, 'update', 'closer');
    await closer.order('close');
    await observers.see(t, 'leave', 'closer', 'closed');
    await observers.recover(t, 'closer', 'closed');
  });

  await t.test('exits without closing', async (t) => {
    const exiter = await member(t, 'exiter', vm!);
    await exiter.order('exit');
    await observers.see(t, 'leave', 'exiter', 'closed');
    await observers.recover(t, 'exiter', 'closed');
    t.equal(await exiter.ended(), 0);
  });

  await t.test('kill -9 of the process in the guest', async (t) => {
    const killed = await member(t, 'killed', vm!);
    await vm!.check(`kill -9 ${(await killed.ready()).pid}`);
    await observers.see(t, 'leave', 'killed', 'crashed');
    await observers.recover(t, 'killed', 'died');
  });

  await t.test('kill -9 in the middle of everything', async (t) => {
    const newcomer = (t: Test, name: string) => member(t, name, vm!);
    await dieHolding(t, { fleet, host, guest, observers, newcomer });
  });

  await t.test('the device is unplugged', async (t) => {
    const address = await plug(pluggedVm!, fleet.socket);
    await pluggedVm!.check(BIND);
    const plugged = await member(t, 'plugged', pluggedVm!, address);
    await unplug(pluggedVm!);
    await observers.see(t, 'leave', 'plugged', 'unplugged');
    await observers.recover(t, 'plugged', 'died');
    t.equal(await plugged.ended(), 0);
  });

  await t.test('QEMU is stopped, and continued', async (t) => {
    const stopped = await member(t, 'stopped', vm!);
    // Not the other way round: on a busy machine it might be suspected before, and recover.
    await vm!.qmp.execute('stop');
    for (const one of observers.all) t.notOk((await one.order('suspect', SUSPECT_MS)).failed);
    await observers.see(t, 'suspect', 'stopped');
    const { members } = (await host.order('members')) as { members: { name: string; state: string }[] };
    t.match(
      members.find(({ name }) => name === 'stopped'),
      { state: 'suspect' },
    );
    // A channel to it can be made and filled meanwhile.
    for (const one of observers.all) t.match(await one.order('burst', 'stopped', BURST), { sent: BURST });
    await vm!.qmp.execute('cont');
    await observers.see(t, 'recovered', 'stopped');
    for (const one of observers.all) {
      const answers = await one.line(/"burst":"stopped"/);
      t.match(answers, { answered: BURST, wrong: 0 }, `${one.name}: nothing was lost`);
      t.ok(await one.goesOn('stopped'), 'nor did a channel end');
      await one.order('suspect', 0);
    }
    await stopped.order('close');
    await observers.see(t, 'leave', 'stopped', 'closed');
    await observers.recover(t, 'stopped', 'closed');
  });

  await t.test('the guest panics and boots again', async (t) => {
    const panicker = await member(t, 'panicker', vm!);
    const { slot } = await panicker.ready();
    await panicAndReboot(vm!);
    await vm!.check(BIND);
    const again = await Talker.inVm(vm!, 'again');
    const { epoch } = await observers.see(t, 'leave', 'panicker', 'rebooted');
    await observers.recover(t, 'panicker', 'died');
    t.match(await observers.see(t, 'join', 'again'), { slot, epoch }, 'the same client, another driver');
    for (const one of observers.all) t.match(await again.order('ask', one.name, 20), { count: 20 });
    await again.order('close');
    await observers.see(t, 'leave', 'again', 'closed');
  });

  await t.test('kill -9 of QEMU that has the last slot', async (t) => {
    const address = await plug(pluggedVm!, fleet.socket);
    await pluggedVm!.check(BIND);
    const { slot } = await (await member(t, 'cut', pluggedVm!, address)).ready();
    const join = () => open({ socket: fleet.socket, name: 'newcomer' });
    await t.rejects(join(), { code: 'ERR_IVSHMEM_HOST_REFUSED' }, 'no slot is left');
    await pluggedVm!.kill();
    await observers.see(t, 'leave', 'cut', 'crashed');
    await observers.recover(t, 'cut', 'died');
    const newcomer = await join();
    t.equal(newcomer.slot, slot, 'it is free again');
    await newcomer.close();
    await observers.see(t, 'leave', 'newcomer', 'closed');
  });

  await t.test('a QEMU and a process of the host at the same instant', async (t) => {
    await member(t, 'left', vm!);
    const right = await Talker.onHost(fleet, 'right');
    await observers.entangle(right);
    await Promise.all([vm!.kill(), right.kill()]);
    const views = [
      await observers.see(t, 'leave', 'left', 'crashed'),
      await observers.see(t, 'leave', 'right', 'crashed'),
    ];
    t.not(views[0]!.view, views[1]!.view, 'each is a view of its own');
    for (const name of ['left', 'right']) await observers.recover(t, name, 'died');
  });

  await t.test('everyone saw the same, and nobody is left', async (t) => {
    observers.agree(t);
    for (const one of observers.all) {
      const { members } = (await one.order('members')) as { members: { name: string }[] };
      t.strictSame(members.map(({ name }) => name).sort(), ['guest', 'host'], `as ${one.name} knows it`);
      t.notOk(one.said.some(({ fault, defect }) => fault ?? defect));
    }
    await until('the slots are free', () => fleet.server.status().regions[0]!.members.length === 2, 180);
  });

  t.strictSame(await fleet.finish(), [], 'no QEMU is left');
});
