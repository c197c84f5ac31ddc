/** The ways a member in a guest ends while its VM, and with it the VM's connection to the server, lives on. */
import t, { type Test } from 'tap';
import { until } from '../native/fixtures/until.ts';
import { Fleet } from './support/fleet.ts';
import { plug, unplug } from './support/hot-plug.ts';
import { Talker, type TalkerOptions } from './support/talker.ts';

t.setTimeout(900_000);
/** On a busy machine, with every processor emulated. */
const DEADLINE_MS = 180_000;
const FIND_GUARDIANS = 'grep -lxs ivshmem-guard /proc/[0-9]*/comm | cut -d / -f 3';
const skip = process.getuid?.() === 0 ? false : 'needs root to build the guest image';

t.test('a member in a guest ends, its VM does not', { skip }, async (t) => {
  const fleet = await Fleet.create(t, 64 << 20);
  // Behind a port of its own, because only there the kernel can reset it; and it can be unplugged at the end.
  const vm = await fleet.boot('guest', { ivshmem: [], ports: 1 });
  const address = await plug(vm, fleet.socket);
  const host = await Talker.onHost(fleet, 'host');
  await host.order('watch');
  const bystander = await Talker.onHost(fleet, 'bystander');
  t.notOk((await bystander.order('hold', 'host')).failed);
  const used = () => {
    const { channels, freeHeapBytes, members } = fleet.server.status().regions[0]!;
    const names = members.filter(({ attached }) => attached).map(({ name }) => name);
    return JSON.stringify({ channels, freeHeapBytes, names: names.sort() });
  };
  const before = used();
  const bind = (driver: string) => vm.check(`ivshmem bind --driver ${driver} --user app ${address}`);
  const guardians = async (): Promise<string> => (await vm.run(FIND_GUARDIANS)).stdout.trim();

  /** Joins, and holds channels both ways. */
  const join = async (t: Test, name: string, options: TalkerOptions = {}): Promise<Talker> => {
    const guest = await Talker.inVm(vm, name, { ...options, env: { MEMBER_ADDRESS: address } });
    t.notOk((await guest.order('hold', 'host')).failed);
    t.notOk((await host.order('hold', name)).failed);
    t.match(await guardians(), /^\d+$/, 'it has one guardian');
    return guest;
  };

  /** What the host sees of the end: the reason, its channels' ends, and everything back where it came from. */
  const ended = async (t: Test, name: string, reason: string, end: RegExp): Promise<void> => {
    t.match(await host.line(new RegExp(`"event":"leave".*"name":"${name}"`)), { reason });
    t.match(await host.line(new RegExp(`"held":"${name}"`)), { end }, 'the channel to it has ended');
    await until(() => used() === before, DEADLINE_MS);
    t.equal(used(), before, 'its name, channels and memory are free');
    t.ok(await bystander.goesOn('host'), 'the others go on');
    t.equal(await guardians(), '', 'its guardian has ended');
  };

  await bind('vfio-pci');

  await t.test('the process is killed with SIGKILL', async (t) => {
    const guest = await join(t, 'killed');
    await guest.kill();
    await ended(t, 'killed', 'crashed', /died/);
  });

  await t.test('the process exits with everything open', async (t) => {
    const guest = await join(t, 'exits', { wait: 'interrupt' });
    void guest.order('exit').catch(() => {});
    t.equal(await guest.ended(), 0);
    await ended(t, 'exits', 'closed', /closed|died/);
  });

  await t.test('the service is stopped: SIGTERM to all of it at once', async (t) => {
    const guest = await join(t, 'stopped');
    await vm.check(`g=$(${FIND_GUARDIANS}); kill -TERM $g $(cut -d ' ' -f 4 /proc/$g/stat)`);
    t.not(await guest.ended(), 0);
    await ended(t, 'stopped', 'crashed', /died/);
  });

  for (const wait of ['adaptive', 'interrupt'] as const)
    await t.test(`the device is reset while channels carry traffic (${wait})`, async (t) => {
      const name = `reset-${wait}`;
      const guest = await join(t, name, { wait });
      t.ok(await guest.goesOn('host'));
      await vm.check(`echo 1 > /sys/bus/pci/devices/${address}/reset`);
      t.match(await guest.line(/"removed"/), { removed: true }, 'the program is told');
      // An answer that is read in the middle of it is all ones, hence not what was asked, and the program closes.
      t.match(await guest.line(/"held":"host"/), { end: /died|broken|closed-here/ });
      t.equal(await guest.ended(), 0, 'it ended by itself');
      await ended(t, name, 'crashed', /died/);
    });

  await t.test('the next one works, doorbells and all', async (t) => {
    const guest = await Talker.inVm(vm, 'next', { wait: 'interrupt', env: { MEMBER_ADDRESS: address } });
    t.match(await guest.order('ask', 'host', 20), { count: 20 });
    t.match(await host.order('ask', 'next', 20), { count: 20 });
    await guest.order('close');
    t.equal(await guest.ended(), 0);
    t.match(await host.line(/"event":"leave".*"name":"next"/), { reason: 'closed' });
    t.equal(await guardians(), '');
  });

  await t.test('under uio the process is killed', async (t) => {
    await bind('uio_pci_generic');
    const guest = await join(t, 'polled');
    await guest.kill();
    await ended(t, 'polled', 'crashed', /died/);
    await bind('vfio-pci');
  });

  await t.test('the device is unplugged', async (t) => {
    const guest = await join(t, 'unplugged');
    await unplug(vm);
    t.equal(await guest.ended(), 0, 'it ended by itself');
    await ended(t, 'unplugged', 'unplugged', /died|closed/);
  });

  await t.test('under uio the device is unplugged: no SIGBUS', async (t) => {
    t.equal(await plug(vm, fleet.socket), address, 'in its old place');
    await bind('uio_pci_generic');
    const guest = await join(t, 'pulled');
    await unplug(vm);
    t.equal(await guest.ended(), 0, 'it ended by itself');
    await ended(t, 'pulled', 'unplugged', /died|closed/);
  });

  t.strictSame(await fleet.finish(), [], 'no QEMU is left');
});
