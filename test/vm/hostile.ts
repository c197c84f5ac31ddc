import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { guestProgram } from '../../qemu/product.ts';
import type { Vm } from '../../qemu/vm.ts';
import { catalogue } from '../../src/errors/index.ts';
import { Fleet, lastJson } from './support/fleet.ts';
import { ServerProcess } from './support/server-process.ts';
import { Talker } from './support/talker.ts';

t.setTimeout(900_000);
const skip = process.getuid?.() === 0 ? false : 'needs root to build the guest image';

const ATTACKS = ['rings', 'forge', 'scribble'] as const;
const SECONDS = 5;
const SEED = 20_240_229;
const entry = fileURLToPath(new URL('guest/hostile.ts', import.meta.url));

/** PCI addresses of a VM's devices in the order of its command line. */
async function addresses(vm: Vm): Promise<string[]> {
  const lines = (await vm.check('lspci -Dnd 1af4:1110')).trim().split('\n');
  return lines.map((line) => line.split(' ')[0]!);
}

/** An attack may end channels. A member may not hang, end, or meet an error that is not in the catalogue. */
async function unharmed(t: Test, member: Talker): Promise<void> {
  const outcome = await Promise.race([
    member.order('ping').then(() => 'answers'),
    member.ended().then((status) => status),
  ]);
  const defects = member.said.filter(({ defect }) => defect);
  t.strictSame(defects, [], `${member.name} met nothing unexpected`);
  t.equal(outcome, 'answers', `${member.name} is alive`);
  const codes = member.said.flatMap(({ code, fault }) => [code ?? fault]).filter(Boolean);
  t.ok(codes.every((code) => (code as string) in catalogue));
  const held = member.said
    .filter(({ held }) => held)
    .map(({ held, rounds, end }) => `${held}:${rounds}:${end}`);
  t.comment(`${member.name}: ${outcome}; ${[...new Set(codes)].join(' ')} ${held.join(' ')}`);
}

/** Whether a channel of a member has ended, or soon does: what the attack left in memory may be met after it. */
async function wasFelt(members: readonly Talker[]): Promise<boolean> {
  const ended = (): boolean =>
    members.some(({ said }) => said.some(({ held, service }) => held !== undefined || service !== undefined));
  for (const deadline = performance.now() + 180_000; !ended() && performance.now() < deadline; )
    await wait(100);
  return ended();
}

t.test('root in one guest attacks everyone else', { skip }, async (t) => {
  const fleet = Fleet.withoutServer(t, { hostile: entry });
  const arenas = ATTACKS.map((name) => ({ name, socket: join(fleet.directory, `${name}.sock`) }));
  const calm = { name: 'calm', socket: join(fleet.directory, 'calm.sock') };
  const server = await ServerProcess.start(t, fleet.directory, [...arenas, calm], '16M');
  // Every attack has a region of its own, so that none finds what another has broken.
  const ivshmem = arenas.map(({ socket }) => ({ kind: 'doorbell', server: socket }) as const);
  const boot = async (name: string): Promise<Vm> => {
    const vm = await fleet.boot(name, { ivshmem });
    await vm.check('ivshmem bind --all --driver vfio-pci --user app');
    return vm;
  };
  const vms = await Fleet.together(
    () => boot('left'),
    () => boot('right'),
    () => boot('hostile'),
  );
  const [left, right, hostile] = vms as [Vm, Vm, Vm];
  const devices = await addresses(left);
  const [aside, apart] = await Promise.all([
    Talker.onHost(fleet, 'aside', { socket: calm.socket }),
    Talker.onHost(fleet, 'apart', { socket: calm.socket }),
  ]);
  await aside.order('hold', 'apart');

  for (const [i, attack] of ATTACKS.entries())
    await t.test(attack, async (t) => {
      const { socket } = arenas[i]!;
      const env = { MEMBER_ADDRESS: devices[i]! };
      const members = await Promise.all([
        Talker.inVm(left, 'left', { env }),
        Talker.inVm(right, 'right', { env, wait: 'interrupt' }),
        Talker.onHost(fleet, 'host', { socket }),
      ]);
      for (const one of members)
        for (const other of members) if (one !== other) t.notOk((await one.order('hold', other.name)).failed);

      const words = guestProgram('hostile', attack, String(SECONDS), String(SEED));
      const { status, stdout, stderr } = await hostile.run(words, { env, timeout: 300_000 });
      t.equal(status, 0, stderr);
      const done = lastJson<{ times: number; stores: number; rings: number }>(stdout);
      t.comment(JSON.stringify(done));
      t.ok(done.times > 0 && done.stores > 0);

      for (const member of members) await unharmed(t, member);
      t.ok(await wasFelt(members), 'the attack was felt: it ended channels');
      t.ok(server.running, 'the server is alive');
      const { regions } = await server.status();
      t.strictSame(
        regions.map(({ name }) => name),
        [...ATTACKS, 'calm'],
      );
      t.strictSame(
        regions
          .at(-1)!
          .members.map(({ name }) => name)
          .sort(),
        ['apart', 'aside'],
      );
      t.match(await aside.order('ask', 'apart', 50), { count: 50 }, 'the other region works');
      t.match(await apart.order('ask', 'aside', 50), { count: 50 });
      t.ok(await aside.goesOn('apart'));
      for (const vm of vms)
        t.match(await vm.qmp.execute('query-status'), { running: true }, `the QEMU of ${vm.name} lives`);
      for (const member of members) await member.kill();
    });

  t.strictSame(await fleet.finish(), [], 'no QEMU is left');
  t.ok(server.running, 'the server outlived them');
  t.equal(await server.stop(), 0, 'and stops when told');
});
