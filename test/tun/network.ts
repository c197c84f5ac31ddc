/** Interfaces with the addresses that the machines have on a network: whoever is there carries the packets. */
import t from 'tap';
import { ControlClient } from '../../src/host/control/control-client.ts';
import { controlPath } from '../../src/host/control/control-path.ts';
import { serveRegion } from '../support/busy-region.ts';
import { Namespace, noTun } from './support/namespaces.ts';

t.setTimeout(180_000);
const skip = noTun();

t.test('an address of a network and of an interface', { skip }, async (t) => {
  const served = await serveRegion('tun-network', {
    socket: `/tmp/ivshmem-tun-network-${process.pid}.sock`,
  });
  t.teardown(() => served.close());
  const { socket } = served;
  const a = new Namespace(t, 'na');
  const b = new Namespace(t, 'nb');
  a.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', b.name);
  for (const [namespace, address] of [
    [a, '10.77.0.1/24'],
    [b, '10.77.0.2/24'],
  ] as const) {
    namespace.ip('address', 'add', address, 'dev', 'eth0');
    namespace.ip('link', 'set', 'dev', 'eth0', 'up');
  }
  /** The interface by which a's packets to b leave. */
  const way = (): string => JSON.parse(a.ip('-j', 'route', 'get', '10.77.0.2'))[0].dev;

  await b.traffic(t, 'echo').says(/^listening$/m);
  const beat = a.traffic(t, 'beat', '10.77.0.2');
  const goesOn = async (): Promise<void> => {
    await beat.says(/^(beat \d+\n){3}/m, beat.output.lastIndexOf('\n') + 1);
  };
  await goesOn();
  t.equal(way(), 'eth0');

  const tunA = a.tun(t, socket, 'a', '10.77.0.1/24');
  const server = await ControlClient.connect(controlPath(socket));
  t.teardown(() => server.close());
  const comes = (n: number) => tunA.says(new RegExp(`(^\\+ b 10\\.77\\.0\\.2$[^]*){${n}}`, 'm'));
  const goes = (n: number) => tunA.says(new RegExp(`(^- b 10\\.77\\.0\\.2: (died|closed)$[^]*){${n}}`, 'm'));

  let tunB = b.tun(t, socket, 'b', '10.77.0.2/24');
  await comes(1);
  for (const [i, member] of ['b', 'a'].entries()) {
    const { channels } = await server.ask({ op: 'drain', member, migrates: false, ms: 60_000 });
    t.equal(channels, 0, `${member} is to leave: no channel is left`);
    await goes(i + 1);
    t.equal(way(), 'eth0');
    await goesOn();
    await server.ask({ op: 'undrain', member });
    await comes(i + 2);
    t.equal(way(), 'ivshm0');
    await goesOn();
  }

  for (const [i, signal] of (['SIGKILL', 'SIGINT'] as const).entries()) {
    if (i > 0) tunB = b.tun(t, socket, 'b', '10.77.0.2/24');
    await comes(3 + i);
    await tunB.says(/^\+ a 10\.77\.0\.1$/m);
    t.equal(way(), 'ivshm0');
    await goesOn();
    tunB.child.kill(signal);
    await tunB.ended;
    await goes(3 + i);
    t.equal(way(), 'eth0');
    await goesOn();
  }
  t.notMatch(beat.output, /wrong|error/, 'one connection, over whoever was there');
});
