/** Two regions in one namespace, each with an interface; and what is left of one whose program was killed: nothing. */
import t from 'tap';
import { serveRegion } from '../support/busy-region.ts';
import { lacking } from '../support/native-build.ts';
import { Namespace, noTun } from './support/namespaces.ts';

t.setTimeout(180_000);
const skip = noTun();

t.test('two regions', { skip }, async (t) => {
  const serve = async (name: string) => {
    const served = await serveRegion(name, { socket: `/tmp/ivshmem-${name}-${process.pid}.sock` });
    t.teardown(() => served.close());
    return served.socket;
  };
  const one = await serve('tun-one');
  const two = await serve('tun-two');
  const a = new Namespace(t, 'ra');
  const b = new Namespace(t, 'rb');
  const c = new Namespace(t, 'rc');
  let tunOne = a.tun(t, one, 'a', '10.77.0.1/24', 'fd77::1/64');
  await tunOne.says(/^ivshm0 is up: /m);
  const tunTwo = a.tun(t, two, 'a', '10.78.0.1/24', 'fd78::1/64', '--mtu', '1280');
  await tunTwo.says(/^ivshm1 is up: /m);
  const tunB = b.tun(t, one, 'b', '10.77.0.2/24', 'fd77::2/64');
  c.tun(t, two, 'c', '10.78.0.2/24', 'fd78::2/64');
  await tunOne.says(/^\+ b 10\.77\.0\.2, fd77::2$/m);
  await tunTwo.says(/^\+ c 10\.78\.0\.2, fd78::2$/m);

  /** `address dev interface` of each route to a host. */
  const routes = (version: '-4' | '-6'): string[] =>
    (JSON.parse(a.ip(version, '-j', 'route')) as { dst: string; dev: string; scope?: string }[])
      .filter(({ dst, dev }) => dev.startsWith('ivshm') && !dst.includes('/') && !/::1$/.test(dst))
      .map(({ dst, dev }) => `${dst} ${dev}`)
      .sort();
  const mtu = (name: string): number => JSON.parse(a.ip('-j', 'link', 'show', 'dev', name))[0].mtu;

  t.strictSame(routes('-4'), ['10.77.0.2 ivshm0', '10.78.0.2 ivshm1']);
  t.strictSame(routes('-6'), ['fd77::2 ivshm0', 'fd78::2 ivshm1']);
  t.equal(mtu('ivshm0'), 1500);
  t.equal(mtu('ivshm1'), 1280);

  await t.test('packets of each go to its own', { skip: lacking('ping') }, async (t) => {
    for (const to of ['10.77.0.2', 'fd77::2', '10.78.0.2', 'fd78::2']) {
      const ping = a.run(t, 'ping', '-c', '2', '-i', '0.2', '-W', '5', to);
      t.equal(await ping.ended, 0, to, { output: ping.output });
    }
  });

  await t.test('a killed program leaves nothing, and a new one takes its place', async (t) => {
    tunOne.child.kill('SIGKILL');
    await tunOne.ended;
    t.strictSame(routes('-4'), ['10.78.0.2 ivshm1']);
    t.strictSame(routes('-6'), ['fd78::2 ivshm1']);
    t.notMatch(a.ip('-brief', 'address'), /ivshm0|10\.77|fd77/, 'no interface and no address');
    await tunB.says(/^- a .*: died$/m);
    t.notMatch(b.ip('-6', 'route'), /fd77::1/, 'no route at the peer');
    tunOne = a.tun(t, one, 'a', '10.77.0.1/24', 'fd77::1/64');
    await tunOne.says(/^ivshm0 is up: /m);
    await tunOne.says(/^\+ b /m);
    t.strictSame(routes('-4'), ['10.77.0.2 ivshm0', '10.78.0.2 ivshm1']);
    t.strictSame(routes('-6'), ['fd77::2 ivshm0', 'fd78::2 ivshm1']);
  });
});
