import t from 'tap';
import { Fleet } from './support/fleet.ts';
import { leavesDisabled, Onlooker, seesEverybody, seesNobody, serversMembers } from './support/onlooker.ts';
import { type Line, Talker } from './support/talker.ts';

t.setTimeout(900_000);
const skip = process.getuid?.() === 0 ? false : 'needs root to build the guest image';

const BLOCK = 64 << 10;
const POUR_MIB = 112;
const ROUND_TRIPS = 40;
/** So many come and go until the device has told of both. */
const MOST_GUESTS = 12;

t.test('four VMs and a host process are members of one region', { skip }, async (t) => {
  const fleet = await Fleet.create(t, 64 << 20);
  const [a, b, c, d] = await Fleet.together(
    () => fleet.bootBound('a'),
    () => fleet.bootBound('b'),
    () => fleet.bootBound('c'),
    () => fleet.bootBound('d', 'uio_pci_generic'),
  );

  await t.test('from VMs that are no members: who is there', async (t) => {
    await Promise.all([seesEverybody(t, fleet, a!), seesEverybody(t, fleet, d!)]);
  });

  await t.test('from a VM that is no member: who comes and goes, by interrupts', async (t) => {
    const truth = await serversMembers(fleet);
    const onlooker = new Onlooker(c!);
    t.strictSame(await onlooker.begun(), truth);
    // Who does not sleep yet, as for seconds after each event where the guest is emulated, looks by itself and is not rung.
    const rung = { join: 0, leave: 0 };
    for (let round = 0; round < MOST_GUESTS && Math.min(rung.join, rung.leave) === 0; round++) {
      const name = `guest-${round}`;
      const before = await onlooker.interrupts();
      const guest = await Talker.onHost(fleet, name);
      const join = await onlooker.event('join', name);
      const between = await onlooker.interrupts();
      rung.join += between - before;
      const member = (await serversMembers(fleet)).members.find((one) => one.name === name);
      const { slot, epoch, pid } = member!;
      t.match(join.member, { slot, epoch, pid, backend: 'host', state: 'active' });
      await guest.order('close');
      const leave = await onlooker.event('leave', name);
      rung.leave += (await onlooker.interrupts()) - between;
      t.match(leave, { reason: 'closed', member: { slot, epoch, pid, listeners: ['echo', 'sink'] } });
      t.ok(leave.view > join.view, `views ${join.view} and ${leave.view}`);
      t.equal(await guest.ended(), 0);
    }
    t.ok(rung.join > 0 && rung.leave > 0, `${rung.join} interrupts for joins, ${rung.leave} for leaves`);
    // It would say so if it looked every second instead.
    t.strictSame(await onlooker.end(), { status: 0, stderr: '' });
    t.strictSame((await serversMembers(fleet)).members, truth.members, 'all is as before');
  });

  // Two that sleep whenever there is nothing to do, and a UIO guest, which polls.
  const members = await Promise.all([
    Talker.onHost(fleet, 'h'),
    Talker.inVm(a!, 'a', { wait: 'interrupt' }),
    Talker.inVm(b!, 'b', { wait: 'interrupt' }),
    Talker.inVm(c!, 'c'),
    Talker.inVm(d!, 'd'),
  ]);

  await t.test('each has a slot of its own', async (t) => {
    const ready = await Promise.all(members.map((member) => member.ready()));
    t.strictSame(
      ready.map(({ kind }) => kind),
      ['host', 'vfio', 'vfio', 'vfio', 'uio'],
    );
    t.equal(new Set(ready.map(({ slot }) => slot)).size, members.length);
    const [region] = fleet.server.status().regions;
    t.strictSame(region!.members.map(({ name }) => name).sort(), ['a', 'b', 'c', 'd', 'h']);
  });

  await t.test('everyone asks everyone', async (t) => {
    for (const asker of members) {
      const others = members.filter((member) => member !== asker);
      const answers = await Promise.all(others.map(({ name }) => asker.order('ask', name, ROUND_TRIPS)));
      for (const [i, answer] of answers.entries())
        t.match(answer, { count: ROUND_TRIPS, failed: undefined }, `${asker.name} asks ${others[i]!.name}`);
      const [, sleeps, bells] = answers.at(-1)!.wait as number[];
      if (['a', 'b', 'c'].includes(asker.name))
        t.ok(sleeps! > 0 && bells! > 0, `${asker.name} slept ${sleeps} times, ${bells} doorbells woke it`);
    }
  });

  await t.test('two sleepers, one at a time', async (t) => {
    // Nobody else is awake: every message takes a doorbell, into one guest and into the other.
    const [, one, two] = members;
    for (const [asker, answerer] of [
      [one!, two!],
      [two!, one!],
    ] as const) {
      const before = (await answerer.order('ask', asker.name, 1)).wait as number[];
      t.match(await asker.order('ask', answerer.name, ROUND_TRIPS), { count: ROUND_TRIPS });
      const after = (await answerer.order('ask', asker.name, 1)).wait as number[];
      t.ok(after[2]! > before[2]!, `${after[2]! - before[2]!} doorbells reached ${answerer.name}`);
    }
  });

  await t.test('a GiB with checksums, between every two kinds of member', async (t) => {
    const [h, a, b, c, d] = members;
    // Two at a time, with no member in both.
    const pairs = [
      [h, a, b, c],
      [a, h, c, b],
      [b, d, h, c],
      [d, a, c, h],
      [d, h, a, b],
    ] as const;
    let bytes = 0;
    for (const [from, to, from2, to2] of pairs) {
      const poured = await Promise.all([
        from!.order('pour', to!.name, POUR_MIB, BLOCK),
        from2!.order('pour', to2!.name, POUR_MIB, BLOCK),
      ]);
      for (const [i, result] of poured.entries()) {
        const way = i === 0 ? `${from!.name} to ${to!.name}` : `${from2!.name} to ${to2!.name}`;
        const blocks = (POUR_MIB << 20) / BLOCK;
        t.match(result, { blocks, bytes: POUR_MIB << 20, bad: 0 }, way);
        t.comment(`${way}: ${POUR_MIB} MiB in ${(result.seconds as number).toFixed(1)} s`);
        bytes += result.bytes as number;
      }
    }
    t.comment(`${bytes >> 20} MiB moved`);
    t.ok(bytes >= 2 ** 30);
  });

  await t.test('from VMs whose device a program has', async (t) => {
    // The kernel guards the memory that vfio-pci has asked for.
    await Promise.all([seesEverybody(t, fleet, d!), seesNobody(t, a!)]);
    for (const member of members)
      t.equal((await member.order('ping')).failed, undefined, `${member.name} goes on`);
  });

  await t.test('everyone leaves', async (t) => {
    for (const member of members) {
      t.equal((await member.order('close')).failed, undefined);
      t.equal(await member.ended(), 0, member.name);
    }
    const ends = members.flatMap(({ said }) => said.filter(({ service }) => service === 'sink'));
    t.ok(ends.length === 10 && ends.every(({ bad }: Line) => bad === 0), 'the sinks say so, too');
    t.equal(fleet.server.status().regions[0]!.channels, 0, 'no channel is left');
  });

  await t.test('from VMs that were members', async (t) => {
    await Promise.all([seesEverybody(t, fleet, b!), seesEverybody(t, fleet, d!)]);
  });

  await t.test('from a VM whose device has no driver', async (t) => {
    await c!.check('ivshmem unbind');
    await leavesDisabled(t, fleet, c!);
  });

  t.strictSame(await fleet.finish(), [], 'no QEMU is left');
});
