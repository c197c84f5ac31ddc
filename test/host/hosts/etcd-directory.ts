import t from 'tap';
import { isIvshmemError } from '../../../src/errors/index.ts';
import { create, findSpace, prepared, use } from '../../../src/host/hosts/decisions.ts';
import type { Decided, HostState } from '../../../src/host/hosts/directory.ts';
import { EtcdClient } from '../../../src/host/hosts/etcd-client.ts';
import { EtcdDirectory } from '../../../src/host/hosts/etcd-directory.ts';
import { silentLog } from '../../../src/host/log.ts';
import { until } from '../../support/protocol/until.ts';
import { testFolder } from '../../support/test-folder.ts';
import { Etcd, withoutEtcd } from './support/etcd.ts';
import { wantedSpace } from './support/wanted-space.ts';

const why = withoutEtcd();
const options = { skip: why ?? false } as const;
/** Long: nobody's lease is to end because this machine is busy. */
const LEASE_MS = 20_000;

interface Host {
  readonly directory: EtcdDirectory;
  readonly states: HostState[];
  readonly decided: Decided[];
  /** When its lease ends. */
  until: number;
}

/** By node, of those that find each other in one etcd. */
const told = new Map<string, Map<number, EtcdDirectory>>();

async function host(etcd: Etcd, name: string, leaseMs = LEASE_MS): Promise<Host> {
  const others = told.get(etcd.url) ?? new Map<number, EtcdDirectory>();
  told.set(etcd.url, others);
  const directory: EtcdDirectory = await EtcdDirectory.open({
    client: new EtcdClient([etcd.url], null, 5000),
    prefix: '/ivshmem/test/',
    name,
    address: `${name}:7`,
    leaseMs,
    fenceMs: leaseMs / 5,
    tell(node, text) {
      const other = others.get(node);
      // As over a connection: not within the call.
      if (other !== undefined) setImmediate(() => other.told(directory.node, text));
      return other !== undefined;
    },
    log: silentLog,
  });
  others.set(directory.node, directory);
  t.teardown(() => directory.close(true));
  const states: HostState[] = [];
  const decided: Decided[] = [];
  const made: Host = { directory, states, decided, until: 0 };
  directory.start({
    decided: (value) => decided.push(value),
    lease: (until) => {
      made.until = until;
    },
    state: (state) => states.push(state),
  });
  return made;
}

const names = ({ directory }: Host): string =>
  directory.decided.view.seats.map(({ node }) => directory.nameOf(node)).join();
const space = { ...wantedSpace, persistent: false };

t.test('hosts find each other in etcd, and in it what was decided', options, async (t) => {
  const etcd = await Etcd.open(testFolder(t));
  t.teardown(() => etcd.kill());
  const alive = setInterval(() => {}, 60_000);
  t.teardown(() => clearInterval(alive));
  const a = await host(etcd, 'a');
  const b = await host(etcd, 'b');
  await until('both serve', () =>
    [a, b].every((one) => one.directory.state === 'serving' && names(one) === 'a,b'),
  );
  t.same([a.directory.node, b.directory.node], [0, 1]);
  t.equal(a.directory.addressOf(1), 'b:7');

  const made = await Promise.all([a, b].map((one) => one.directory.change(create(space), 20_000)));
  t.same(
    made.map((decided) => findSpace(decided!, 'r', 'm')?.id),
    [1, 1],
    'one space',
  );
  await a.directory.change(prepared(1, 0, null), 20_000);
  await b.directory.change(prepared(1, 1, null), 20_000);
  await b.directory.change(use(1, 1, true), 20_000);
  await until('a knows that b uses it', () => String(a.directory.decided.spaces[0]?.users) === '1');

  await etcd.kill();
  const waits = a.directory.change(create({ ...space, name: 'later' }), 60_000);
  await until('that etcd is away is told', () => /ECONNREFUSED/.test(a.directory.trouble ?? ''));
  t.equal(a.directory.state, 'serving', 'the lease still runs');
  const killed = performance.now();
  await until('each goes on by the promise of the other', () =>
    [a, b].every((one) => one.until > killed + LEASE_MS),
  );
  t.type(a.directory.away, Date, 'since when etcd is away is known');
  await etcd.start();
  t.equal(findSpace((await waits)!, 'r', 'later')?.id, 2, 'what was asked meanwhile is decided');
  await until('b hears of it, by a new watch', () => b.directory.decided.spaces.length === 2);
  t.equal(b.directory.trouble, null);
  await until('both know that etcd is back', () => a.directory.away === null && b.directory.away === null);

  const epoch = a.directory.decided.view.epoch;
  await b.directory.close(true);
  await until('a goes on alone', () => names(a) === 'a');
  t.same(
    a.directory.decided.spaces.map(({ name, failed }) => [name, failed]),
    [['later', 'a host went away while the space was made']],
    'what only b had open went with it',
  );
  t.equal(b.states.at(-1), 'closed');
  const again = await host(etcd, 'b');
  await until('b is back as another', () => again.directory.state === 'serving' && names(a) === 'a,b');
  t.equal(again.directory.node, 1, 'with its number');
  t.equal(again.directory.incarnation, 2);
  t.ok(a.directory.decided.view.epoch > epoch + 1);
  t.same(a.states, ['serving'], 'and a never stopped');
  const versions = a.decided.map(({ version }) => version);
  t.same(
    versions,
    [...new Set(versions)].sort((x, y) => x - y),
    'each decision once, in order',
  );
});

t.test('a lease that ended is not another one', options, async (t) => {
  const etcd = await Etcd.open(testFolder(t));
  t.teardown(() => etcd.kill());
  const alive = setInterval(() => {}, 60_000);
  t.teardown(() => clearInterval(alive));
  const a = await host(etcd, 'a', 4000);
  const b = await host(etcd, 'b', 4000);
  // One that has not heard of the other yet is alone, and needs nobody's promise to go on.
  await until('both serve, and know it', () =>
    [a, b].every((each) => each.directory.state === 'serving' && names(each) === 'a,b'),
  );
  await etcd.kill();
  await b.directory.close(false);
  await until('without etcd and the other one it fences', () => a.directory.state === 'fencing');
  await etcd.start();
  const before = a.directory.incarnation;
  t.equal(a.directory.state, 'fencing', 'until it is done');
  a.states.length = 0;
  a.directory.rejoin();
  await until('it serves again', () => a.states.includes('serving'));
  t.ok(a.directory.incarnation > before);
});

t.test('etcd that is none is an error that says where', options, async (t) => {
  const client = new EtcdClient(['http://127.0.0.1:1'], null, 1000);
  try {
    await client.range('/');
    t.fail('nobody answers there');
  } catch (error) {
    t.ok(isIvshmemError(error, 'ERR_IVSHMEM_HOSTS_ETCD'));
    t.match((error as Error).message, /127\.0\.0\.1:1.*ECONNREFUSED/);
  }
});
