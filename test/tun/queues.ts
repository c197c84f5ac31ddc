/** Interfaces with several queues, each with a ring of its own to each peer; and UDP in large packets. */
import { release } from 'node:os';
import t from 'tap';
import { serveRegion } from '../support/busy-region.ts';
import { lacking } from '../support/native-build.ts';
import { Namespace, noTun } from './support/namespaces.ts';

t.setTimeout(280_000);
const MIB = 1 << 20;
const skip = noTun();

/** The kernel takes large UDP packets of a TUN device (TUN_F_USO4) since 6.2. */
const [major = 0, minor = 0] = release().split('.').map(Number);
const noUso = major < 6 || (major === 6 && minor < 2) ? `the kernel is ${release()}` : lacking('python3');

/** Sends `count` times 30 datagrams of 1400 bytes by one call each, which the kernel may keep as one packet (udp(7), UDP_SEGMENT). */
const segmented = (address: string, count: number): string[] => [
  'python3',
  '-c',
  `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(17, 103, 1400)
for i in range(${count}): s.sendto(bytes(42000), ('${address}', 9000))`,
];

t.test('a flow keeps its queue, whichever its answers come by', { skip }, async (t) => {
  const steering = new Namespace(t, 'steer').steering(t);
  t.equal(await steering.ended, 0, 'it came to its end', { output: steering.output });
  t.match(steering.output, /^32 flows on [23] queues, 32 answered, 0 moved$/m);
});

t.test('three queues, two, and one', { skip }, async (t) => {
  const served = await serveRegion('tun-queues', {
    socket: `/tmp/ivshmem-tun-queues-${process.pid}.sock`,
    size: '64M',
    vectors: 4,
  });
  t.teardown(() => served.close());
  const { socket } = served;
  const a = new Namespace(t, 'qa');
  const b = new Namespace(t, 'qb');
  const c = new Namespace(t, 'qc');
  const tunA = a.tun(t, socket, 'a', '10.77.0.1/24', '--queues', '3', '--mtu', '9000');
  const tunB = b.tun(t, socket, 'b', '10.77.0.2/24', '--queues', '2', '--mtu', '9000');
  const tunC = c.tun(t, socket, 'c', '10.77.0.3/24');
  await Promise.all([
    tunA.says(/^\+ b /m),
    tunA.says(/^\+ c /m),
    tunB.says(/^\+ a /m),
    tunB.says(/^\+ c /m),
    tunC.says(/^\+ a /m),
    tunC.says(/^\+ b /m),
  ]);
  t.equal(
    served.server.status().regions[0]!.channels,
    3 + 3 + 2,
    'as many rings as the one with more queues has',
  );

  await t.test('one queue too many for the vectors', async (t) => {
    const four = new Namespace(t, 'qd').tun(t, socket, 'd', '10.77.0.4/24', '--queues', '4');
    t.equal(await four.ended, 1);
    t.match(four.output, /--vectors 5/);
  });

  await t.test('MTU', { skip: lacking('ping') }, async (t) => {
    const [link] = JSON.parse(a.ip('-j', 'link', 'show', 'dev', 'ivshm0'));
    t.equal(link.mtu, 9000);
    const ping = (bytes: number) =>
      a.run(t, 'ping', '-c', '1', '-W', '5', '-M', 'do', '-s', String(bytes), '10.77.0.2');
    t.equal(await ping(8972).ended, 0, 'it goes in one piece');
    t.not(await ping(8973).ended, 0, 'and one byte more does not');
  });

  await t.test('TCP, four connections at once', async (t) => {
    for (const to of [b, c]) await to.traffic(t, 'echo').says(/^listening$/m);
    const bulk = (from: Namespace, to: string) => from.traffic(t, 'bulk', to, String(16 * MIB));
    const all = [bulk(a, '10.77.0.2'), bulk(a, '10.77.0.2'), bulk(a, '10.77.0.3'), bulk(b, '10.77.0.3')];
    await Promise.all(all.map((one) => one.says(new RegExp(`^${16 * MIB} bytes the same$`, 'm'))));
  });

  await t.test('iperf3', { skip: lacking('iperf3') }, async (t) => {
    await b.run(t, 'iperf3', '--server', '--forceflush').says(/^Server listening/m);
    const words = ['iperf3', '--client', '10.77.0.2', '--json', '--time', '3', '--parallel', '4'];
    for (const flags of [['--bidir'], ['--udp', '--bitrate', '20M']]) {
      const client = a.run(t, ...words, ...flags);
      t.equal(await client.ended, 0, flags.join(' '), { output: client.output });
      const { streams } = JSON.parse(client.output).end;
      // Of UDP it tells of both ends in one.
      const bytes = streams.map(
        ({ receiver, udp }: { receiver?: { bytes: number }; udp: { bytes: number } }) =>
          (receiver ?? udp).bytes,
      );
      t.equal(bytes.length, flags[0] === '--bidir' ? 8 : 4);
      t.ok(
        bytes.every((each: number) => each > 0),
        `${bytes} bytes`,
      );
    }
  });

  await t.test('no flow overtakes itself', async (t) => {
    await b.traffic(t, 'reflect').says(/^listening$/m);
    const [, back, late] = await a.traffic(t, 'number', '10.77.0.2', '8').says(/^(\d+) back, (\d+) late$/m);
    t.comment(`${back} datagrams of 8 flows came back`);
    t.ok(Number(back) > 0);
    t.equal(Number(late), 0);
  });

  await t.test('UDP in large packets, while every peer can take them', { skip: noUso }, async (t) => {
    const sink = b.traffic(t, 'datagrams');
    await sink.says(/^listening$/m);
    /** Bytes a packet that left a's interface for these datagrams had. */
    const send = async (count: number): Promise<number> => {
      const tx = () => JSON.parse(a.ip('-s', '-j', 'link', 'show', 'dev', 'ivshm0'))[0].stats64.tx;
      const before = tx();
      const program = a.run(t, ...segmented('10.77.0.2', count));
      t.equal(await program.ended, 0, 'sent', { output: program.output });
      const after = tx();
      return (after.bytes - before.bytes) / (after.packets - before.packets);
    };
    t.ok((await send(20)) > 20_000, 'in one piece');
    await sink.says(/^1400 bytes$/m);
    t.match(sink.output, /^listening\n(1400 bytes\n)+$/, 'and the other kernel makes datagrams of it');
    // Says nothing of large UDP packets, as an interface on an old kernel does.
    const old = await served.join('old');
    await old.listen('tun:10.77.0.9,1');
    await tunA.says(/^\+ old /m);
    t.ok((await send(20)) < 3000, 'in datagrams');
    await old.close();
    await tunA.says(/^- old /m);
    t.ok((await send(20)) > 20_000, 'in one piece again');
  });
});
