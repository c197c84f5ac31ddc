/** Servers of several hosts that make way for another one: in good order, so that nobody waits for a lease. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createServer } from '../../../src/host/index.ts';
import { DescriptorStore } from '../../../src/host/restart/descriptor-store.ts';
import { open, type Region } from '../../../src/index.ts';
import { until } from '../../support/protocol/until.ts';
import { bundledServer, ServerProgram } from '../../support/supervised-server.ts';
import { testFolder } from '../../support/test-folder.ts';
import { Authority, withoutOpenssl } from '../hosts/support/certificates.ts';
import { opened, ownAddress } from '../hosts/support/fleet.ts';
import { load, PAGE, store } from '../hosts/support/scenes.ts';

const SIZE = 64 * PAGE;
/** Longer than the tests: who waited for its end would not be done. */
const LEASE = 100;
const LIMIT = { skip: withoutOpenssl() ?? false, timeout: 170_000 };
let count = 0;

interface Cluster {
  /** The configuration file of the server of host a, which is a program. */
  readonly config: string;
  readonly socket: string;
  /** A member of host a, or of one whose server runs in this process. */
  member(host: string): Promise<Region>;
}

/** Hosts of a list: the first has a configuration file, the servers of the others run in this process. */
async function cluster(t: Test, names: readonly string[]): Promise<Cluster> {
  const folder = testFolder(t);
  const authority = new Authority(folder);
  const port = 7900 + 10 * count++;
  const at = (i: number): string => `${ownAddress()}:${port + i}`;
  const sockets = new Map(names.map((name) => [name, `@ivshmem-way-${process.pid}-${count}-${name}`]));
  const regions: Region[] = [];
  t.teardown(async () => {
    for (const region of regions) await region.close().catch(() => {});
  });
  const configs = names.map((name, i) => {
    const others = names.flatMap((other, j) => (j === i ? [] : [[other, at(j)]]));
    const state = join(folder, `${name}.json`);
    return {
      regions: [{ name: 'r', socket: sockets.get(name)!, size: '16M', slots: 8 }],
      hosts: {
        name,
        listen: at(i),
        peers: Object.fromEntries(others),
        state,
        lease: LEASE,
        ...authority.issue(name),
      },
    };
  });
  for (const config of configs.slice(1)) {
    const server = await createServer(config);
    t.teardown(() => server.close());
  }
  const config = join(folder, 'server.toml');
  writeFileSync(config, toml(configs[0]!));
  return {
    config,
    socket: sockets.get(names[0]!)!,
    async member(host) {
      const region = await open({ socket: sockets.get(host)!, name: `m${regions.length}`, addresses: [] });
      regions.push(region);
      return region;
    },
  };
}

function toml({ regions, hosts }: { regions: readonly object[]; hosts: object }): string {
  const line = ([key, value]: [string, unknown]): string =>
    typeof value === 'object'
      ? `${key} = { ${Object.entries(value!).map(line).join(', ')} }`
      : `${key} = ${JSON.stringify(value)}`;
  const table = (head: string, values: object): string =>
    [head, ...Object.entries(values).map(line), ''].join('\n');
  return [...regions.map((one) => table('[[regions]]', one)), table('[hosts]', hosts)].join('\n');
}

t.test('a server with hosts is replaced, and the next one is among them', LIMIT, async (t) => {
  const { config, socket, member } = await cluster(t, ['a', 'b']);
  const first = await ServerProgram.start(socket, '--config', config);
  t.teardown(() => first.end());
  const [here, there] = [await member('a'), await member('b')];
  const mine = await opened(here, 'grid', SIZE);
  const theirs = await opened(there, 'grid', SIZE);
  await store(mine, 1, 11);
  for (let page = 10; page < 20; page++) await store(theirs, page, 100 + page);

  const second = await ServerProgram.start(socket, '--config', config, '--replace');
  t.teardown(() => second.end());
  await until('the first has ended', () => first.process.exitCode !== null);
  t.same([first.process.exitCode, first.complaints], [0, []], 'the first ends well');
  await t.rejects(
    mine.acquire(0, SIZE, 'read'),
    { code: 'ERR_IVSHMEM_PAGES_FENCED' },
    'its members are told',
  );
  await mine.close();
  const again = await opened(here, 'grid', SIZE);
  for (let page = 10; page < 20; page++) t.equal(await load(again, page), 100 + page);
  await store(again, 10, 7);
  t.equal(await load(theirs, 10), 7);
  t.equal(second.process.exitCode, null);
});

t.test('a server that cannot take the region leaves it among the hosts', LIMIT, async (t) => {
  const { config, socket, member } = await cluster(t, ['a', 'b']);
  const server = await ServerProgram.start(socket, '--config', config);
  t.teardown(() => server.end());
  const [here, there] = [await member('a'), await member('b')];
  const theirs = await opened(there, 'grid', SIZE);
  for (let page = 10; page < 20; page++) await store(theirs, page, 100 + page);
  await t.rejects(ServerProgram.start(socket, '--size', '32M', '--slots', '8', '--name', 'r', '--replace'), {
    message: /size is 33554432, and was 16777216/,
  });
  const mine = await opened(here, 'grid', SIZE);
  for (let page = 10; page < 20; page++) t.equal(await load(mine, page), 100 + page);
  t.equal(server.process.exitCode, null);
});

t.test('a server that leaves its regions to its keeper is not waited for', LIMIT, async (t) => {
  const { config, member } = await cluster(t, ['a', 'b', 'c']);
  const name = `@ivshmem-way-keeper-${process.pid}`;
  let ready = false;
  const keeper = new DescriptorStore(name, () => true, {
    ready: () => {
      ready = true;
    },
    stopping: () => {},
    failed: (error) => {
      throw error;
    },
  });
  t.teardown(() => keeper.close());
  const { NODE_OPTIONS: _, ...env } = process.env;
  const words = [await bundledServer(), 'server', '--config', config];
  const server: ChildProcess = spawn(process.execPath, words, {
    stdio: ['ignore', 'ignore', 'ignore'],
    env: { ...env, NOTIFY_SOCKET: name },
  });
  t.teardown(() => void server.kill('SIGKILL'));
  await until('it serves', () => ready, 60);
  const [here, there, third] = [await member('a'), await member('b'), await member('c')];
  const mine = await opened(here, 'grid', SIZE);
  const [theirs, also] = [await opened(there, 'grid', SIZE), await opened(third, 'grid', SIZE)];
  await load(mine, 0);
  for (let page = 10; page < 20; page++) await store(theirs, page, 100 + page);

  const ended = once(server, 'exit');
  server.kill('SIGTERM');
  t.same(await ended, [0, null]);
  t.ok(keeper.kept.size > 8, 'the keeper has the region');
  // A third of these pages had their home on the host that went.
  for (let page = 10; page < 20; page++) t.equal(await load(also, page), 100 + page);
});
