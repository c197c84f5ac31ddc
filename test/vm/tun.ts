/** `ivshmem tun` in two VMs, one with VFIO and one with UIO, and in a network namespace of the host. */
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { GuestProcess } from '../../qemu/guest-process.ts';
import { guestProgram } from '../../qemu/product.ts';
import type { Vm } from '../../qemu/vm.ts';
import { Namespace, noTun } from '../tun/support/namespaces.ts';
import { Fleet } from './support/fleet.ts';
import { plug, unplug } from './support/hot-plug.ts';

t.setTimeout(900_000);
const skip = noTun();
const MIB = 1 << 20;
/** What the VMs have on their network: their interfaces take the same addresses, so that programs need not choose. */
const A = '10.77.0.1';
const B = '10.77.0.2';
const HOST = '10.77.0.3';

const entry = fileURLToPath(new URL('../tun/support/traffic.ts', import.meta.url));
const traffic = (...words: string[]): string[] => guestProgram('traffic', ...words);

/** `ivshmem tun` as the user `app`, with the one capability that it needs. */
function tunIn(vm: Vm, address: string): GuestProcess {
  const as = ['setpriv', '--reuid', 'app', '--regid', 'app', '--init-groups'];
  const with_ = ['--inh-caps', '+net_admin', '--ambient-caps', '+net_admin', '--no-new-privs'];
  const command = ['ivshmem', 'tun', '--member', vm.name, '--address', `${address}/24`];
  return vm.spawn([...as, ...with_, ...command]);
}

/** The interface that packets from a VM to `address` leave by. */
async function wayTo(vm: Vm, address: string): Promise<string> {
  const { stdout } = await vm.run(`ip route get ${address}`);
  return / dev (\S+)/.exec(stdout)?.[1] ?? stdout;
}

/** Resolves when more of a flow has come back than had when this was called. */
async function goesOn(flow: GuestProcess): Promise<void> {
  const back = flow.stdout.match(/^back /gm)?.length ?? 0;
  await flow.waitFor(new RegExp(`^back ${back + 4}$`, 'm'));
}

/** A peer's coming or going for the n-th time, in what an interface said. */
const nth = (line: string, n: number): RegExp => new RegExp(`(^${line}$[^]*){${n}}`, 'm');

t.test('an IP interface in VMs', { skip }, async (t) => {
  const fleet = await Fleet.create(t, 64 * MIB, { traffic: entry });
  const cable = {
    kind: 'pair',
    local: `${fleet.directory}/a.net`,
    remote: `${fleet.directory}/b.net`,
  } as const;
  const [a, b] = (await Fleet.together(
    () =>
      fleet.boot('a', {
        ivshmem: [],
        ports: 1,
        network: { ...cable, mac: '52:54:00:00:00:01', address: `${A}/24` },
      }),
    () =>
      fleet.bootBound('b', 'uio_pci_generic', {
        network: {
          ...cable,
          local: cable.remote,
          remote: cable.local,
          mac: '52:54:00:00:00:02',
          address: `${B}/24`,
        },
      }),
  )) as [Vm, Vm];
  // udev, which the guests do without, lets everybody open it.
  await Promise.all([a, b].map((vm) => vm.check('modprobe tun && chmod 0666 /dev/net/tun')));
  const host = new Namespace(t, 'vmhost');

  /** Plugs the device in, binds it, and starts the interface. */
  const join = async (): Promise<GuestProcess> => {
    await plug(a, fleet.socket);
    await a.check('ivshmem bind --driver vfio-pci --user app');
    return tunIn(a, A);
  };
  let tunB = tunIn(b, B);
  let tunA = await join();
  const tunHost = host.tun(t, fleet.socket, 'host', `${HOST}/24`);
  await Promise.all([
    tunA.waitFor(nth(`\\+ b ${B}`, 1)),
    tunA.waitFor(nth(`\\+ host ${HOST}`, 1)),
    tunB.waitFor(nth(`\\+ a ${A}`, 1)),
    tunB.waitFor(nth(`\\+ host ${HOST}`, 1)),
    tunHost.says(/^\+ a /m),
    tunHost.says(/^\+ b /m),
  ]);

  await t.test('each reaches each', async (t) => {
    t.equal(await wayTo(a, B), 'ivshm0');
    t.equal(await wayTo(b, A), 'ivshm0');
    const pings = [
      [a, B],
      [a, HOST],
      [b, A],
      [b, HOST],
    ] as const;
    const ping = async ([vm, to]: readonly [Vm, string]): Promise<void> => {
      const { status, stdout } = await vm.run(`busybox ping -c 2 -W 30 ${to}`, { timeout: 120_000 });
      t.equal(status, 0, `${vm.name} to ${to}`, { stdout });
    };
    await Promise.all(pings.map(ping));
  });

  const echo = { a: a.spawn(traffic('echo')), b: b.spawn(traffic('echo')) };
  await Promise.all([echo.a.waitFor(/^listening$/m), echo.b.waitFor(/^listening$/m)]);

  await t.test('TCP carries bytes unchanged', async (t) => {
    const bulk = async (to: string): Promise<void> => {
      const program = host.traffic(t, 'bulk', to, String(4 * MIB));
      await program.says(/^\d+ bytes the same$/m);
    };
    const between = a.spawn(traffic('bulk', B, String(4 * MIB)));
    await Promise.all([between.waitFor(/^\d+ bytes the same$/m), bulk(A), bulk(B)]);
    for (const vm of [a, b]) {
      const links = JSON.parse(await vm.check('ip -s -j link show dev ivshm0'));
      const { packets, bytes } = links[0].stats64.tx;
      t.ok(bytes / packets > 3000, `${vm.name}: ${Math.round(bytes / packets)} bytes per packet`);
    }
  });

  const flow = a.spawn(traffic('flow', B));
  await goesOn(flow);

  await t.test('an open connection goes over the network while the device is unplugged', async (t) => {
    await unplug(a);
    const { status, stderr } = await tunA.wait();
    t.equal(status, 1, 'the program ends');
    t.match(stderr, /ERR_IVSHMEM_DEVICE_REMOVED|it was unplugged/);
    await tunB.waitFor(nth(`- a ${A}: (died|closed)`, 1));
    await goesOn(flow);
    t.equal(await wayTo(a, B), 'eth0');
    t.equal(await wayTo(b, A), 'eth0');
    t.notMatch(await a.check('ip -brief link'), /ivshm/, 'the interface is gone');

    tunA = await join();
    await Promise.all([tunA.waitFor(nth(`\\+ b ${B}`, 1)), tunB.waitFor(nth(`\\+ a ${A}`, 2))]);
    t.equal(await wayTo(a, B), 'ivshm0');
    t.equal(await wayTo(b, A), 'ivshm0');
    await goesOn(flow);
  });

  await t.test('and while the program is killed', async (t) => {
    tunB.kill('SIGKILL');
    await tunB.wait();
    t.notMatch(await b.check('ip -brief link'), /ivshm/, 'with it its interface goes');
    await tunA.waitFor(nth(`- b ${B}: (died|closed)`, 1));
    t.equal(await wayTo(a, B), 'eth0');
    t.equal(await wayTo(b, A), 'eth0');
    await goesOn(flow);
    tunB = tunIn(b, B);
    await Promise.all([tunB.waitFor(nth(`\\+ a ${A}`, 1)), tunA.waitFor(nth(`\\+ b ${B}`, 2))]);
    t.equal(await wayTo(a, B), 'ivshm0');
    await goesOn(flow);
    flow.end();
    await flow.waitFor(/^\d+ bytes the same$/m);
  });

  await t.test('interrupted, they end well', async (t) => {
    for (const [vm, tun] of [
      [a, tunA],
      [b, tunB],
    ] as const) {
      tun.kill('SIGINT');
      const { status, stdout, stderr } = await tun.wait();
      t.equal(status, 0, vm.name, { stdout, stderr });
      t.match(stdout, /packets sent, \d+ received/);
    }
  });

  t.strictSame(await fleet.finish(), [], 'no QEMU is left');
});
