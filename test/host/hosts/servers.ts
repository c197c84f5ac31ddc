import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openSpace, removeSpace } from '../../../src/dsm/index.ts';
import { isIvshmemError } from '../../../src/errors/index.ts';
import { createServer, type IvshmemServer } from '../../../src/host/index.ts';
import { open, type Region } from '../../../src/index.ts';
import { until } from '../../support/protocol/until.ts';
import { testFolder } from '../../support/test-folder.ts';
import { Authority, withoutOpenssl } from './support/certificates.ts';
import { Etcd, withoutEtcd } from './support/etcd.ts';
import { opened, ownAddress } from './support/fleet.ts';

const MIB = 1 << 20;
let count = 0;

const why = withoutOpenssl();
const options = { skip: why ?? withoutEtcd() ?? false };

interface Cluster {
  readonly servers: IvshmemServer[];
  readonly sockets: string[];
  member(host: number): Promise<Region>;
}

/** Servers as on several hosts, each with a region of its own, on ports of loopback. */
async function cluster(
  t: Test,
  names: readonly string[],
  options: { etcd?: string; folder?: string; share?: number } = {},
): Promise<Cluster> {
  // One for each test: asking for it again would empty it.
  const folder = options.folder ?? testFolder(t);
  const authority = new Authority(folder);
  // Nobody else listens at this address.
  const port = 7000 + 10 * count++;
  const at = (i: number): string => `${ownAddress()}:${port + i}`;
  const servers: IvshmemServer[] = [];
  const sockets: string[] = [];
  const regions: Region[] = [];
  t.teardown(async () => {
    for (const region of regions) await region.close().catch(() => {});
    for (const server of servers) await server.close();
  });
  for (const [i, name] of names.entries()) {
    const peers = Object.fromEntries(
      names.map((other, j) => [other, at(j)]).filter(([other]) => other !== name),
    );
    const socket = `@ivshmem-hosts-${process.pid}-${count++}`;
    sockets.push(socket);
    servers.push(
      await createServer({
        regions: [{ name: 'r', socket, size: '16M', slots: 8 }],
        hosts: {
          name,
          listen: at(i),
          ...authority.issue(name),
          // Long: nobody's lease is to end because this machine is busy.
          lease: 30,
          share: options.share ?? 0.5,
          ...(options.etcd === undefined
            ? { peers, state: join(folder, `${name}.json`) }
            : { etcd: [options.etcd] }),
        },
      }),
    );
  }
  return {
    servers,
    sockets,
    async member(host) {
      const region = await open({ socket: sockets[host]!, name: `m${regions.length}`, addresses: [] });
      regions.push(region);
      return region;
    },
  };
}

async function oneSpace(t: Test, { member }: Cluster): Promise<void> {
  const [a, b] = [await member(0), await member(1)];
  const [mine, theirs] = await Promise.all([opened(a, 'matrix', 2 * MIB), opened(b, 'matrix', 2 * MIB)]);
  t.equal(mine.byteLength, 2 * MIB);
  t.notOk(mine.created && theirs.created, 'one of them made it');
  const here = new Uint32Array(mine.buffer);
  const there = new Uint32Array(theirs.buffer);
  for (let i = 0; i < here.length; i += 512) here[i] = i + 1;
  let wrong = 0;
  for (let i = 0; i < there.length; i += 512) if (there[i] !== i + 1) wrong++;
  t.equal(wrong, 0, 'what one host stored the other loads');
  for (let i = 0; i < 100; i++) (i % 2 === 0 ? here : there)[0]! += 1;
  t.equal(there[0], 101, 'and the other way round, again and again');
  t.equal(await removeSpace(b, 'matrix', { force: true }), true);
  const revoked = (): Promise<boolean> =>
    mine.acquire(0, 1, 'read').then(
      (pin) => !pin.release(),
      (error: unknown) => isIvshmemError(error, 'ERR_IVSHMEM_PAGES_REVOKED'),
    );
  await until('it is revoked on the other host', revoked);
  await mine.close();
  await theirs.close();
}

t.test('two hosts of a list have one space', { skip: why ?? false }, async (t) => {
  const hosts = await cluster(t, ['a', 'b']);
  await oneSpace(t, hosts);
  t.ok(existsSync(join(t.testdirName, 'a.json')));
});

t.test(
  'two hosts that find each other in etcd have one space',
  { skip: why ?? withoutEtcd() ?? false },
  async (t) => {
    const folder = testFolder(t);
    const etcd = await Etcd.open(join(folder, 'etcd'));
    t.teardown(() => etcd.kill());
    await oneSpace(t, await cluster(t, ['a', 'b'], { etcd: etcd.url, folder }));
  },
);

t.test('a host that goes takes the only copies with it, and the other one goes on', options, async (t) => {
  const folder = testFolder(t);
  const etcd = await Etcd.open(join(folder, 'etcd'));
  t.teardown(() => etcd.kill());
  const { servers, member } = await cluster(t, ['a', 'b'], { etcd: etcd.url, folder });
  const [a, b] = [await member(0), await member(1)];
  // Alone, one would be the home of all pages.
  await Promise.all([opened(a, 'first', 4096), opened(b, 'first', 4096)]);
  const mine = await opened(a, 'matrix', MIB);
  const theirs = await opened(b, 'matrix', MIB);
  // The first half is written there, the second here: homes alternate, so each host has pages whose home is the other.
  new Uint8Array(mine.buffer, 0, MIB / 2).fill(1);
  new Uint8Array(theirs.buffer, MIB / 2).fill(2);
  // Its pages stay where they are; and a member whose server is gone takes its time to leave.
  await a.close();
  await servers[0]!.close();
  const lost = async (): Promise<boolean> => {
    try {
      (await theirs.acquire(0, 4096, 'read')).release();
      return false;
    } catch (error) {
      if (!isIvshmemError(error, 'ERR_IVSHMEM_PAGES_LOST')) throw error;
      return true;
    }
  };
  await until('what only the other host had is lost', lost);
  t.ok(
    new Uint8Array(theirs.buffer, MIB / 2).every((byte) => byte === 2),
    'what is here lives on',
  );
});

t.test('a server that is alone says that it is', async (t) => {
  const socket = `@ivshmem-hosts-${process.pid}-${count++}`;
  const server = await createServer({ regions: [{ name: 'r', socket, size: '16M', slots: 8 }] });
  t.teardown(() => server.close());
  const region = await open({ socket, name: 'm', addresses: [] });
  t.teardown(() => region.close());
  await t.rejects(openSpace(region, 'matrix', { size: MIB, spread: true }), /needs other hosts/);
});

t.test('what cannot be is refused before anybody is served', { skip: why ?? false }, async (t) => {
  const authority = new Authority(testFolder(t));
  const hosts = { name: 'a', listen: '127.0.0.1:1', ...authority.issue('b'), etcd: ['http://127.0.0.1:1'] };
  const socket = `@ivshmem-hosts-${process.pid}-${count++}`;
  const regions = [{ name: 'r', socket, size: '16M', slots: 8 }];
  await t.rejects(createServer({ regions, hosts }), { code: 'ERR_IVSHMEM_HOSTS_IDENTITY' });
  const none = { ...hosts, peers: { c: 'c:1' } };
  await t.rejects(createServer({ regions, hosts: none }), /either peers or etcd/);
  const self = { ...hosts, etcd: undefined, peers: { a: 'c:1' }, state: '/x' };
  await t.rejects(createServer({ regions, hosts: self }), /names this host, a, itself/);
  await until('the socket is free again', async () => {
    const server = await createServer({ regions }).catch(() => null);
    await server?.close();
    return server !== null;
  });
});
