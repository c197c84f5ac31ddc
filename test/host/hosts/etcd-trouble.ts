// An etcd that is there, and does not do what it should.
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { create, findSpace } from '../../../src/host/hosts/decisions.ts';
import { EtcdClient } from '../../../src/host/hosts/etcd-client.ts';
import { EtcdDirectory } from '../../../src/host/hosts/etcd-directory.ts';
import { type Log, silentLog } from '../../../src/host/log.ts';
import { until } from '../../support/protocol/until.ts';
import { testFolder } from '../../support/test-folder.ts';
import { Etcd, withoutEtcd } from './support/etcd.ts';
import { wantedSpace } from './support/wanted-space.ts';

const options = { skip: withoutEtcd() ?? false } as const;
// A directory keeps nobody alive by itself.
const alive = setInterval(() => {}, 60_000);
t.teardown(() => clearInterval(alive));

async function host(t: Test, client: EtcdClient, name: string, log: Log = silentLog): Promise<EtcdDirectory> {
  const directory = await EtcdDirectory.open({
    client,
    prefix: '/ivshmem/test/',
    name,
    address: `${name}:7`,
    leaseMs: 12_000,
    fenceMs: 3000,
    tell: () => false,
    log,
  });
  t.teardown(() => directory.close(true));
  directory.start({ decided() {}, lease() {}, state() {} });
  return directory;
}

/** Passes connections on; those there are can be made to stand, with nobody told. */
async function relay(t: Test, to: string): Promise<{ url: string; freeze(): void }> {
  const { hostname, port } = new URL(to);
  const ends = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(port), hostname);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      ends.add(one);
      one.pipe(other).on('error', () => one.destroy());
      one.on('close', () => other.destroy());
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    for (const end of ends) end.destroy();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    freeze: () => ends.forEach((end) => void end.unpipe().pause()),
  };
}

t.test('a watch that says nothing any more', options, async (t) => {
  const etcd = await Etcd.open(testFolder(t));
  t.teardown(() => etcd.kill());
  const between = await relay(t, etcd.url);
  const a = await host(t, new EtcdClient([between.url], null, 5000), 'a');
  const b = await host(t, new EtcdClient([etcd.url], null, 5000), 'b');
  await until('both know each other', () => [a, b].every(({ decided }) => decided.view.seats.length === 2));
  between.freeze();
  await b.change(create(wantedSpace), 20_000);
  await until('it is heard of all the same', () => findSpace(a.decided, 'r', 'm') !== null, 12);
  t.equal(a.trouble, null);
});

interface Answer {
  readonly header: { readonly revision: string; readonly member_id: string };
}

t.test('an etcd without room', options, async (t) => {
  const etcd = await Etcd.open(testFolder(t), '--quota-backend-bytes', String(4 << 20));
  t.teardown(() => etcd.kill());
  const client = new EtcdClient([etcd.url], null, 5000);
  const said: string[] = [];
  const note = (_: unknown, text: string): void => void said.push(text);
  const log = { ...silentLog, info: note, warn: note } as unknown as Log;
  const a = await host(t, client, 'a', log);
  await until('it serves', () => a.state === 'serving');
  const full = async (): Promise<boolean> => {
    const put = client.put([], [{ key: '/other', value: 'x'.repeat(1 << 20) }]);
    return put.then(
      () => false,
      () => true,
    );
  };
  await until('its room is taken', full);
  let changed = false;
  const waits = a.change(create(wantedSpace), 60_000).then((decided) => {
    changed = true;
    return decided;
  });
  await until('that is told', () => /space exceeded/.test(a.trouble ?? ''));
  const end = performance.now() + 2000;
  await until('it stays so', () => {
    if (!/space exceeded/.test(a.trouble ?? '')) throw new Error(`trouble: ${a.trouble}`);
    return performance.now() >= end;
  });
  t.equal(a.away, null, 'it answers');
  t.equal(a.state, 'serving');
  t.same(said, [], 'nothing is said again and again');
  t.notOk(changed);
  // As an operator does it: etcd's documentation, "Space quota".
  const post = async (path: string, body: object): Promise<Answer> => {
    const answer = await fetch(etcd.url + path, { method: 'POST', body: JSON.stringify(body) });
    return (await answer.json()) as Answer;
  };
  const key = Buffer.from('/other').toString('base64');
  const { header } = await post('/v3/kv/deleterange', { key });
  await post('/v3/kv/compaction', { revision: header.revision, physical: true });
  await post('/v3/maintenance/defragment', {});
  await post('/v3/maintenance/alarm', {
    ...{ action: 'DEACTIVATE', alarm: 'NOSPACE' },
    memberID: header.member_id,
  });
  t.equal(findSpace((await waits)!, 'r', 'm')?.id, 1, 'what was asked meanwhile is decided');
  t.equal(a.trouble, null);
});

/** Answers to whatever is asked that there is nothing; or not at all. */
async function endpoint(t: Test, answers: boolean): Promise<{ url: string; asked(): number }> {
  let asked = 0;
  const server = createHttpServer((_, response) => {
    asked++;
    if (answers) response.end('{"header":{"revision":"1"}}');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked: () => asked };
}

t.test('of two endpoints one does not answer, whoever asks', async (t) => {
  const [dead, good] = [await endpoint(t, false), await endpoint(t, true)];
  const client = new EtcdClient([dead.url, good.url], null, 500);
  const both = await Promise.all([client.range('/'), client.range('/')]);
  t.same(
    both.map(({ kvs }) => kvs),
    [[], []],
  );
  t.equal(dead.asked(), 2, 'each found out once');
  await client.range('/');
  t.equal(dead.asked(), 2, 'and nobody asks there again');
});

t.test('what is asked while something is written is read after that', async (t) => {
  const decided = {
    version: 1,
    view: { epoch: 1, seats: [{ node: 0, incarnation: 1 }] },
    spaces: [],
    nextSpace: 1,
  };
  // The host is known, and not in the view: it is to write that it is.
  const keys = {
    'nodes/0': { name: 'a', incarnation: 1 },
    'hosts/0': { name: 'a', address: 'a:7', incarnation: 1 },
    decided: { ...decided, view: { epoch: 1, seats: [] } },
  };
  let revision = 1;
  let written: ((taken: boolean) => void) | null = null;
  const client = {
    range: async () => ({
      kvs: Object.entries(keys).map(([key, value]) => ({
        key: `/${key}`,
        value: JSON.stringify(value),
        revision: 1,
        lease: '0',
      })),
      revision,
    }),
    put: () =>
      new Promise<boolean>((resolve) => {
        written = resolve;
      }),
  } as unknown as EtcdClient;
  const directory = await EtcdDirectory.open({
    ...{ client, prefix: '/', name: 'a', address: 'a:7', leaseMs: 60_000, fenceMs: 1000 },
    ...{ tell: () => false, log: silentLog },
  });
  void directory.look();
  await until('it writes', () => written !== null);
  // Meanwhile somebody else did.
  keys.decided = { ...decided, version: 2 } as never;
  revision++;
  const asked = directory.change((found) => found, 5000);
  setImmediate(() => written!(false));
  t.equal((await asked)?.version, 2);
  await directory.close(false);
});
