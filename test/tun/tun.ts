/** `ivshmem tun` between network namespaces: nothing connects them but shared memory. */
import t from 'tap';
import { serveRegion } from '../support/busy-region.ts';
import { lacking } from '../support/native-build.ts';
import { Namespace, noTun } from './support/namespaces.ts';

t.setTimeout(280_000);
const MIB = 1 << 20;
const skip = noTun();

t.test('three namespaces', { skip }, async (t) => {
  const served = await serveRegion('tun', { socket: `/tmp/ivshmem-tun-${process.pid}.sock`, size: '64M' });
  t.teardown(() => served.close());
  const { socket } = served;
  const a = new Namespace(t, 'a');
  const b = new Namespace(t, 'b');
  const c = new Namespace(t, 'c');
  const tunA = a.tun(t, socket, 'a', '10.77.0.1/24', 'fd77::1/64');
  const tunB = b.tun(t, socket, 'b', '10.77.0.2/24', 'fd77::2/64');
  await tunA.says(/^\+ b 10\.77\.0\.2, fd77::2$/m);
  await tunB.says(/^\+ a 10\.77\.0\.1, fd77::1$/m);
  const tunC = c.tun(t, socket, 'c', '10.77.0.3/24');
  await tunC.says(/^\+ a 10\.77\.0\.1$/m);
  await tunC.says(/^\+ b 10\.77\.0\.2$/m);
  await tunA.says(/^\+ c 10\.77\.0\.3$/m);
  t.match(a.ip('route'), /^10\.77\.0\.2 dev ivshm0 .*src 10\.77\.0\.1/m, 'a route to one host');
  t.match(a.ip('-6', 'route'), /^fd77::2 dev ivshm0/m);

  await t.test('ping', { skip: lacking('ping') }, async (t) => {
    for (const [from, to] of [
      [a, '10.77.0.2'],
      [b, '10.77.0.1'],
      [a, 'fd77::2'],
      [b, 'fd77::1'],
      [c, '10.77.0.1'],
      [b, '10.77.0.3'],
    ] as const) {
      const ping = from.run(t, 'ping', '-c', '3', '-i', '0.2', '-W', '5', to);
      t.equal(await ping.ended, 0, `${from.name} to ${to}`, { output: ping.output });
    }
    const large = a.run(t, 'ping', '-c', '2', '-i', '0.2', '-W', '5', '-s', '60000', '10.77.0.2');
    t.equal(await large.ended, 0, 'in fragments', { output: large.output });
  });

  await t.test('TCP carries bytes unchanged, both ways at once', async (t) => {
    const echo = b.traffic(t, 'echo');
    await echo.says(/^listening$/m);
    for (const address of ['10.77.0.2', 'fd77::2']) {
      const bulk = a.traffic(t, 'bulk', address, String(64 * MIB));
      await bulk.says(new RegExp(`^${64 * MIB} bytes the same$`, 'm'));
      t.equal(await bulk.ended, 0, address);
    }
    const links = JSON.parse(a.ip('-s', '-j', 'link', 'show', 'dev', 'ivshm0'));
    const { packets, bytes } = links[0].stats64.tx;
    t.ok(
      bytes / packets > 3000,
      `${Math.round(bytes / packets)} bytes per packet: segments travel in one piece`,
    );
  });

  await t.test('a connection lives on when the peer of the region is killed and comes back', async (t) => {
    const echo = c.traffic(t, 'echo');
    await echo.says(/^listening$/m);
    const beat = a.traffic(t, 'beat', '10.77.0.3');
    await beat.says(/^beat 3$/m);
    const mark = tunA.output.length;
    tunC.child.kill('SIGKILL');
    await tunC.ended;
    await tunA.says(/^- c 10\.77\.0\.3: died$/m, mark);
    t.notMatch(a.ip('route'), /10\.77\.0\.3/, 'no route to who is not there');
    t.match(a.ip('route'), /10\.77\.0\.2/, 'the others have theirs');
    const again = c.tun(t, socket, 'c', '10.77.0.3/24');
    await again.says(/^\+ a /m);
    await tunA.says(/^\+ c 10\.77\.0\.3$/m, mark);
    const { length } = beat.output;
    await beat.says(/^beat \d+\n(.*\n)*beat \d+$/m, length);
    t.notMatch(beat.output, /wrong|error/);
    beat.child.kill('SIGKILL');
    again.child.kill('SIGINT');
    t.equal(await again.ended, 0, 'interrupted, it ends well');
    t.match(again.output, /packets sent, \d+ received/);
    t.equal(c.ip('link', 'show', 'dev', 'ivshm0'), '', 'and leaves no interface behind');
  });

  await t.test('an address belongs to who had it first, and to nobody outside the network', async (t) => {
    const taken = c.tun(t, socket, 'thief', '10.77.0.2/24');
    await taken.says(/is up/);
    const outside = await served.join('outside');
    await outside.listen('tun:192.0.2.7');
    await outside.listen('tun:10.77.0.9');
    // It takes the connection and does nothing: its second address is fine, so it is a peer by now.
    await tunA.says(/^\+ outside 10\.77\.0\.9$/m);
    t.notMatch(a.ip('route'), /192\.0\.2\.7/);
    t.notMatch(tunA.output, /\+ thief/);
  });

  await t.test('an interface that is deleted ends the program with the reason', async (t) => {
    b.ip('link', 'delete', 'ivshm0');
    t.equal(await tunB.ended, 1);
    t.match(tunB.output, /ERR_IVSHMEM_TUN_FAILED|the kernel took it away/);
    await tunA.says(/^- b 10\.77\.0\.2, fd77::2: (closed|died)$/m);
  });
});

t.test('what cannot be is refused', { skip }, async (t) => {
  const served = await serveRegion('tun-refused', {
    socket: `/tmp/ivshmem-tun-refused-${process.pid}.sock`,
    vectors: 1,
  });
  t.teardown(() => served.close());
  const a = new Namespace(t, 'refused');
  const one = a.tun(t, served.socket, 'one', '10.77.0.1/24');
  t.equal(await one.ended, 1);
  t.match(one.output, /--vectors 2/);
  const two = a.tun(t, served.socket, 'two', '10.77.0.1');
  t.equal(await two.ended, 2);
  t.match(two.output, /no prefix length/);
});
