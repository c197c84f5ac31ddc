/** Programs of others, as they are, between two VMs: in Node over sockets that find shared memory, others over an IP interface. */
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { cable } from '../../qemu/network.ts';
import { guestProgram } from '../../qemu/product.ts';
import type { Vm } from '../../qemu/vm.ts';
import { Fleet, lastJson } from './support/fleet.ts';
import { TunEnd } from './support/tun-end.ts';

t.setTimeout(880_000);

/** Of one program, with every processor emulated and others at work. */
const timeout = 180_000;
const SERVER = '10.78.0.1';
const MIB = 1 << 20;
const POSTGRES = '$(echo /usr/lib/postgresql/*/bin)';

const program = (name: string) => fileURLToPath(new URL(`guest/programs/${name}.ts`, import.meta.url));
const programs = {
  'redis-client': program('redis-client'),
  'postgres-client': program('postgres-client'),
  'web-app': program('web-app'),
  'web-load': program('web-load'),
  'path-tally': program('path-tally'),
  transparent: fileURLToPath(new URL('../../src/transparent/index.ts', import.meta.url)),
};

/** The words that run a program with `--import ivshmem/transparent`. */
function transparently(name: keyof typeof programs, ...words: string[]): string[] {
  const [node, ...rest] = guestProgram(name, ...words);
  const imports = (['transparent', 'path-tally'] as const).flatMap((one) => [
    '--import',
    guestProgram(one)[1]!,
  ]);
  return [node!, ...imports, ...rest];
}

/** Runs a client to its end and returns what it found. */
async function found(
  vm: Vm,
  name: keyof typeof programs,
  ...words: string[]
): Promise<Record<string, unknown>> {
  return lastJson(await vm.check(guestProgram(name, ...words), { user: 'app', timeout }));
}

t.test('real programs', async (t) => {
  const fleet = await Fleet.create(t, 64 * MIB, programs);
  const network = cable(fleet.directory);
  const [a, b] = (await Fleet.together(
    () => fleet.bootBound('server', 'vfio-pci', { programs: true, network: network[0] }),
    () => fleet.bootBound('client', 'vfio-pci', { programs: true, network: network[1] }),
  )) as [Vm, Vm];
  // It takes a while, in which the others have their turn.
  const initdb = `${POSTGRES}/initdb -D /tmp/cluster --no-locale --encoding=UTF8 --auth=trust --no-sync`;
  const cluster = a.check(`${initdb} && echo 'host all all 10.78.0.0/24 trust' >>/tmp/cluster/pg_hba.conf`, {
    user: 'app',
    timeout,
  });
  cluster.catch(() => {});

  await t.test('Express under autocannon', async (t) => {
    const server = a.spawn(transparently('web-app', '8080'), { user: 'app' });
    await server.waitFor(/^listening$/m, timeout);
    const url = 'http://10.77.0.1:8080';
    const load = await b.run(transparently('web-load', url, '4', '24'), {
      user: 'app',
      timeout: 2 * timeout,
    });
    t.equal(load.status, 0, load.stderr);
    const [results, paths] = load.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    t.comment(load.stdout);
    for (const [name, result] of Object.entries(results)) {
      const none = { missing: 0, errors: 0, timeouts: 0, mismatches: 0, non2xx: 0 };
      t.match(result, { ...none, onSharedMemory: 4 }, name);
    }
    server.end();
    const { status, stdout } = await server.wait();
    t.equal(status, 0);
    const { onSharedMemory } = lastJson<{ onSharedMemory: number }>(stdout);
    t.ok(Math.min(onSharedMemory, paths.onSharedMemory) >= 12, 'both ends say that connections went over');
  });

  // Nothing connects them from here on but the region's memory.
  for (const vm of [a, b]) await vm.check('ip link set eth0 down');
  const [end, peer] = await Promise.all([TunEnd.up(a, SERVER), TunEnd.up(b, '10.78.0.2')]);
  await Promise.all([end.knows(peer), peer.knows(end)]);
  t.equal(await end.interfaceTo(peer.address), 'ivshm0', 'the route is over the region');
  t.equal(await peer.interfaceTo(SERVER), 'ivshm0');
  const interfaces = JSON.parse(await b.check('ip -j link')) as { ifname: string; flags: string[] }[];
  const up = interfaces.filter(({ flags }) => flags.includes('UP')).map(({ ifname }) => ifname);
  t.strictSame(up.sort(), ['ivshm0', 'lo'], 'there is no other way');

  /** Runs `work` and checks that at least so many bytes crossed the interface, from the server and to it. */
  const crossing = async (from: number, to: number, work: () => Promise<void>): Promise<void> => {
    const before = await end.bytes();
    await work();
    const after = await end.bytes();
    t.ok(after.sent - before.sent >= from, `${after.sent - before.sent} bytes left the server's interface`);
    t.ok(after.received - before.received >= to, `${after.received - before.received} bytes came in by it`);
  };

  await t.test('redis-server and ioredis', async (t) => {
    const options = "--save '' --protected-mode no --dir /tmp";
    const server = a.spawn(`exec redis-server --bind ${SERVER} ${options}`, { user: 'app' });
    await server.waitFor(/Ready to accept connections/, timeout);
    await crossing(2 * MIB, 2 * MIB, async () => {
      const result = await found(b, 'redis-client', SERVER);
      t.match(result, {
        pipelined: { replies: 600, right: 600 },
        published: { heard: 100, inOrder: true },
        large: { bytes: 2 * MIB, same: true },
      });
      const held = await a.check(`redis-cli -h ${SERVER} --raw get large | head -c ${2 * MIB} | sha256sum`, {
        timeout,
      });
      t.match(held, (result.large as { sha256: string }).sha256, 'the server holds the same bytes');
    });
    server.kill();
    t.equal((await server.wait()).status, 0);
  });

  await t.test('PostgreSQL, pg and psql', async (t) => {
    await cluster;
    const options = `-c listen_addresses=${SERVER} -c unix_socket_directories=/tmp`;
    const server = a.spawn(`exec ${POSTGRES}/postgres -D /tmp/cluster ${options} 2>&1`, { user: 'app' });
    await server.waitFor(/ready to accept connections/, timeout);
    await crossing(2 * MIB, MIB, async () => {
      t.match(await found(b, 'postgres-client', SERVER), {
        bulk: { inserted: 2000, read: 2000, same: true },
        large: { hashedByServer: true, same: true },
        notified: { heard: 20, inOrder: true },
      });
    });
    const psql = `${POSTGRES}/psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 -h ${SERVER} -U app postgres`;
    await b.check(`seq 1 20000 | sed 's/$/\\tcopied/' >/tmp/rows`, { timeout });
    await crossing(200_000, 200_000, async () => {
      const copy = `${psql} -c 'CREATE TABLE copied (id integer, name text)' -c 'COPY copied FROM STDIN' </tmp/rows`;
      await b.check(copy, { timeout });
      const back = `${psql} -c 'COPY (SELECT * FROM copied ORDER BY id) TO STDOUT' >/tmp/back`;
      t.equal(await b.check(`${back} && cmp /tmp/rows /tmp/back`, { timeout }), '', 'COPY, both ways');
    });
    await a.check(`${POSTGRES}/pg_ctl stop --wait --mode fast -D /tmp/cluster`, { user: 'app', timeout });
    t.equal((await server.wait()).status, 0);
  });

  await t.test('nginx and curl', async (t) => {
    await a.check(`mkdir -m 755 /tmp/www && head -c ${8 * MIB} /dev/urandom >/tmp/www/file`);
    const site = `events {} http { access_log off; server { listen ${SERVER}:80; root /tmp/www; } }`;
    await a.put('/tmp/nginx.conf', site);
    const server = a.spawn(['nginx', '-e', 'stderr', '-c', '/tmp/nginx.conf', '-g', 'daemon off;']);
    await crossing(9 * MIB, 0, async () => {
      const fetch = `curl --silent --show-error --fail --retry 60 --retry-connrefused http://${SERVER}/file`;
      await b.check(`${fetch} --output /tmp/file && ${fetch} --range 1000000-2048575 --output /tmp/part`, {
        timeout,
      });
      const { stdout: sums } = await b.run('sha256sum </tmp/file; sha256sum </tmp/part', { timeout });
      const part = `tail -c +1000001 /tmp/www/file | head -c ${MIB} | sha256sum`;
      t.equal(
        sums,
        await a.check(`sha256sum </tmp/www/file; ${part}`, { timeout }),
        'a file, and a range of it',
      );
    });
    server.kill('SIGTERM');
    t.equal((await server.wait()).status, 0);
  });

  await t.test('iperf3', async (t) => {
    const amount = 16 * MIB;
    for (const [what, flags, from, to] of [
      ['to the server', [], 0, amount],
      ['from the server', ['--reverse'], amount, 0],
      ['both ways, two streams', ['--bidir', '--parallel', '2'], amount, amount],
    ] as const) {
      const server = a.spawn(['iperf3', '--server', '--one-off', '--forceflush', '--bind', SERVER], {
        user: 'app',
      });
      await server.waitFor(/listening/, timeout);
      await crossing(from, to, async () => {
        const words = ['iperf3', '--json', '--client', SERVER, '--bytes', String(amount), ...flags];
        const report = JSON.parse(await b.check(words, { user: 'app', timeout }));
        t.notOk(report.error, what);
        t.ok(report.end.sum_sent.bytes >= amount, `${report.end.sum_sent.bytes} bytes ${what}`);
      });
      t.equal((await server.wait()).status, 0);
    }
  });

  const [mine, theirs] = [await peer.down(), await end.down()];
  t.match([mine.status, theirs.status], [0, 0]);
  t.ok(Math.min(mine.sent, mine.received, theirs.sent, theirs.received) > 500, 'packets, both ways');
  t.strictSame(await fleet.finish(), [], 'no QEMU is left');
});
