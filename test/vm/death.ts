import t from 'tap';
import type { Vm } from '../../qemu/vm.ts';
import { Fleet } from './support/fleet.ts';
import { plug } from './support/hot-plug.ts';
import { Talker } from './support/talker.ts';

t.setTimeout(900_000);
const skip = process.getuid?.() === 0 ? false : 'needs root to build the guest image';
const SIZE = 64 << 20;

t.test('a QEMU is killed, then the server is replaced', { skip }, async (t) => {
  const fleet = await Fleet.create(t, SIZE);
  const blank = { ivshmem: [], ports: 1 } as const;
  const [survivorVm, victimVm, heirVm, lateVm] = await Fleet.together(
    () => fleet.bootBound('survivor'),
    () => fleet.bootBound('victim'),
    () => fleet.boot('heir', blank),
    () => fleet.boot('late', blank),
  );
  const [host, survivor, victim] = await Promise.all([
    Talker.onHost(fleet, 'host'),
    Talker.inVm(survivorVm!, 'survivor', { wait: 'interrupt' }),
    Talker.inVm(victimVm!, 'victim'),
  ]);

  /** Gives a VM that has none the region's device. */
  const join = async (vm: Vm): Promise<void> => {
    await plug(vm, fleet.socket);
    await vm.check('ivshmem bind --driver vfio-pci --user app');
  };
  const { slot } = await victim.ready();

  await t.test('kill -9 of a QEMU with channels open both ways', async (t) => {
    for (const other of [host, survivor]) {
      t.equal((await other.order('hold', 'victim')).failed, undefined);
      t.equal((await victim.order('hold', other.name)).failed, undefined);
    }
    await host.order('hold', 'survivor');
    await victimVm!.kill();
    for (const other of [host, survivor]) {
      t.match(await other.line(/"held":"victim"/), { end: 'died' }, `${other.name} called: it died`);
      const called = new RegExp(`"service":"echo","peer":${slot},`);
      t.match(await other.line(called), { end: 'died' }, `${other.name} was called: it died`);
    }
    const names = () => fleet.server.status().regions[0]!.members.map(({ name }) => name);
    t.strictSame(names().sort(), ['host', 'survivor']);
    t.match(await survivorVm!.qmp.execute('query-status'), { running: true });
    t.match(await host.order('ask', 'survivor', 50), { count: 50 }, 'the survivors go on');
    t.match(await survivor.order('ask', 'host', 50), { count: 50 });
    t.ok(await host.goesOn('survivor'), 'their channel never ended');
    t.match(await host.order('ask', 'victim', 1), { code: 'ERR_IVSHMEM_REFUSED' }, 'nobody has its name');
  });

  await join(heirVm!);
  // The name of the dead is free again, as is its slot.
  const heir = await Talker.inVm(heirVm!, 'victim');

  await t.test('a new VM takes the slot of the dead', async (t) => {
    t.equal((await heir.ready()).slot, slot);
    for (const other of [host, survivor]) {
      t.match(await heir.order('ask', other.name, 50), { count: 50 });
      t.match(await other.order('ask', 'victim', 50), { count: 50 });
    }
  });

  await t.test('without the server, what is open goes on', async (t) => {
    t.equal((await heir.order('hold', 'survivor')).failed, undefined);
    await fleet.server.close();
    const silent = await heir.order('ask', 'survivor', 1);
    t.match(silent, { code: 'ERR_IVSHMEM_SERVER_SILENT' }, 'nothing new, and the error says why');
    t.ok(await heir.goesOn('survivor'), 'an open channel goes on, doorbells and all');
  });

  await t.test('a fresh server makes a fresh region for new VMs', async (t) => {
    await fleet.startServer(SIZE);
    await join(lateVm!);
    const [late, newcomer] = await Promise.all([
      Talker.inVm(lateVm!, 'late'),
      Talker.onHost(fleet, 'survivor'),
    ]);
    t.match(await late.order('ask', 'survivor', 50), { count: 50 }, 'the newcomer of that name');
    t.match(await newcomer.order('ask', 'late', 50), { count: 50 });
    const [region] = fleet.server.status().regions;
    t.strictSame(region!.members.map(({ name }) => name).sort(), ['late', 'survivor']);
    for (const vm of [survivorVm!, heirVm!, lateVm!])
      t.match(await vm.qmp.execute('query-status'), { running: true }, `${vm.name} lives`);

    await survivor.kill();
    await survivorVm!.kill();
    t.match(await late.order('ask', 'survivor', 50), { count: 50 }, 'an old VM that ends does no harm');
    t.match(await heirVm!.qmp.execute('query-status'), { running: true });
  });

  t.strictSame(await fleet.finish(), [], 'no QEMU is left');
});
