/** Members of a real server: what they see of each other. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { createServer } from '../../src/host/index.ts';
import {
  type Membership,
  type MembershipEvent,
  type OpenOptions,
  open,
  openDevice,
  type Region,
} from '../../src/index.ts';
import { PAGE_BYTES } from '../../src/memory/layout.ts';
import { until } from '../support/protocol/until.ts';

let servers = 0;

async function start(t: Test, slots = 16) {
  const socket = `@ivshmem-membership-test-${process.pid}-${servers++}`;
  const server = await createServer({ regions: [{ name: 'test', socket, size: 16 << 20, slots }] });
  t.teardown(() => server.close());
  const join = async (name: string, more: OpenOptions = {}): Promise<Region> => {
    const region = await open({ socket, name, addresses: [], ...more });
    t.teardown(() => region.close());
    return region;
  };
  return { server, socket, join };
}

/** Everything a membership sees from now on. */
function record(members: Membership): { events: MembershipEvent[]; told: () => string[] } {
  const events: MembershipEvent[] = [];
  void (async () => {
    for await (const event of members) events.push(event);
  })();
  const told = (): string[] =>
    events.map(
      (event) => `${event.type} ${event.member.name}${event.type === 'leave' ? ` ${event.reason}` : ''}`,
    );
  return { events, told };
}

t.test('two and ten members see the same numbered events', { timeout: 60_000 }, async (t) => {
  for (const count of [2, 10]) {
    const { join } = await start(t);
    const regions: Region[] = [];
    for (let i = 0; i < count; i++) regions.push(await join(`m${i}`));
    const memberships = await Promise.all(regions.map((region) => region.membership()));
    const records = memberships.map(record);
    const late = await join('late', { labels: { role: 'test' } });
    const listener = await late.listen('echo');
    await late.drain();
    listener.close();
    // What changed just before a member leaves may be told with the leave alone.
    await until('the end of the listener is seen', () => records[0]!.told().length === 4, 10);
    await late.close({ reason: 'migrated' });
    const silent = await openDevice({ socket: regions[0]!.device.on });
    silent.close();
    const last = await join('last');
    await until(
      'all have seen the last',
      () => records.every(({ told }) => told().at(-1) === 'join last'),
      10,
    );
    t.same(records[0]!.told(), [
      'join late',
      'update late',
      'update late',
      'update late',
      'leave late migrated',
      'join last',
    ]);
    for (const { events } of records)
      t.same(events, records[0]!.events, 'identical, numbers and times included');
    const views = records[0]!.events.map(({ view }) => view);
    t.same(
      [...views].sort((a, b) => a - b),
      views,
    );
    t.same(
      records[0]!.events
        .slice(0, 4)
        .map(({ member }) => [member.labels.role, member.listeners, member.state]),
      [
        ['test', [], 'active'],
        ['test', ['echo'], 'active'],
        ['test', ['echo'], 'leaving'],
        ['test', [], 'leaving'],
      ],
    );
    for (const members of memberships) t.same(members.list(), memberships[0]!.list());
    const now = await last.membership();
    t.same(now.list(), memberships[0]!.list(), 'who comes late sees the same');
    t.equal(now.self!.name, 'last');
    t.equal(now.get('m0')!.backend, 'host');
    t.equal(now.get('m0')!.pid, process.pid);
  }
});

t.test('addresses of this machine are told, unless others are', async (t) => {
  const { socket, join } = await start(t);
  const given = await join('given', { addresses: ['10.1.2.3', 'unix:/run/x'], labels: { zone: 'a' } });
  const region = await open({ socket, name: 'default' });
  t.teardown(() => region.close());
  const members = await given.membership();
  t.same(members.self!.addresses, ['10.1.2.3', 'unix:/run/x']);
  t.same(members.self!.labels, { zone: 'a' });
  for (const address of members.get('default')!.addresses) t.notMatch(address, /^127\.|^::1$/);
  await members.describe({ labels: { zone: 'b' } });
  await until('the description', () => members.self!.labels.zone === 'b', 10);
  t.same(members.self!.addresses, ['10.1.2.3', 'unix:/run/x']);
});

t.test(
  'a process that is killed crashed; one that exits without close closed',
  { timeout: 60_000 },
  async (t) => {
    const { socket, join } = await start(t);
    const a = await join('a');
    const members = await a.membership();
    const { told } = record(members);
    for (const how of ['kill', 'exit']) {
      const program = `
      import { open } from './src/index.ts';
      const region = await open({ socket: '${socket}', name: '${how}', addresses: [] });
      const listener = await region.listen('${how}');
      console.log('ready');
      process.stdin.once('data', () => process.exit(0));`;
      const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
        stdio: ['pipe', 'pipe', 'inherit'],
        env: { ...process.env, NODE_OPTIONS: '', NODE_V8_COVERAGE: '' },
        timeout: 60_000,
      });
      await once(child.stdout, 'data');
      const channel = await a.connect(how);
      const ended = new Promise((resolve) => channel.onEnd(resolve));
      if (how === 'kill') child.kill('SIGKILL');
      else child.stdin.write('x');
      await ended;
      await until('the leave', () => told().at(-1)?.startsWith('leave') === true, 10);
      t.equal(told().at(-1), `leave ${how} ${how === 'kill' ? 'crashed' : 'closed'}`);
      channel.close();
    }
  },
);

t.test('a stopped process is suspect, and recovers when it goes on', { timeout: 60_000 }, async (t) => {
  const { socket, join } = await start(t);
  const a = await join('a');
  const program = `
    import { open } from './src/index.ts';
    const region = await open({ socket: '${socket}', name: 'b', addresses: [] });
    const listener = await region.listen('b');
    console.log('ready');`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '', NODE_V8_COVERAGE: '' },
    timeout: 60_000,
  });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const members = await a.membership({ suspectAfterMs: 500 });
  const { told } = record(members);
  child.kill('SIGSTOP');
  await until('it is suspect', () => members.get('b')!.state === 'suspect', 20);
  child.kill('SIGCONT');
  await until('it is active again', () => members.get('b')!.state === 'active', 20);
  t.same(
    told()
      .filter((event) => event.endsWith(' b'))
      .slice(0, 2),
    ['suspect b', 'recovered b'],
  );
});

t.test('no new channels to a member that drains; those it has go on', async (t) => {
  const { join } = await start(t);
  const [a, b] = [await join('a'), await join('b')];
  const listener = await b.listen('echo');
  const near = await a.connect('echo');
  const far = (await listener.accept())!;
  await b.drain();
  await t.rejects(a.connect('echo'), { code: 'ERR_IVSHMEM_REFUSED' });
  near.send(Buffer.from('still here'));
  t.equal(Buffer.from((await far.next())!.bytes).toString(), 'still here');
});

t.test('what a member scribbled over, the server writes again', { timeout: 60_000 }, async (t) => {
  const { join } = await start(t);
  const [a, b] = [await join('a'), await join('b')];
  const members = await a.membership();
  const { told } = record(members);
  const { membershipPage, heapPage } = b.header;
  for (let round = 0; round < 3; round++) {
    new Int32Array(
      b.device.memory,
      membershipPage * PAGE_BYTES,
      ((heapPage - membershipPage) * PAGE_BYTES) / 4,
    ).fill(0x5a5a5a5a);
    const c = await join(`c${round}`);
    await until('the join, for all the damage', () => members.get(`c${round}`) !== null, 20);
    t.equal(members.get('b')!.name, 'b');
    await c.close();
    await until('the leave', () => told().at(-1) === `leave c${round} closed`, 20);
  }
});

t.test(
  'survivors are told of a server that is gone, and what they know stays',
  { timeout: 60_000 },
  async (t) => {
    const { server, join } = await start(t);
    const a = await join('a');
    const members = await a.membership();
    await server.close();
    t.equal(members.get('a')!.name, 'a');
    const again = await a.membership();
    t.equal(again.view, members.view, 'reading needs no server');
    await t.rejects(a.membership({ suspectAfterMs: 100 }), { code: 'ERR_IVSHMEM_SERVER_SILENT' });
    await t.rejects(a.connect('x'), { code: 'ERR_IVSHMEM_SERVER_SILENT' });
  },
);

t.test('close in any order, twice, and while something is under way', async (t) => {
  const { join } = await start(t);
  const [a, b] = [await join('a'), await join('b')];
  const members = await a.membership({ suspectAfterMs: 1000 });
  const iteration = members[Symbol.asyncIterator]();
  const waits = iteration.next();
  members.close();
  t.equal((await waits).done, true);
  await iteration.return?.();
  await iteration.return?.();
  members.close();
  const opening = b.membership({ suspectAfterMs: 1000 });
  const told = Promise.allSettled([opening]);
  await Promise.all([b.close(), b.close()]);
  const [result] = await told;
  if (result.status === 'fulfilled') t.equal((await result.value[Symbol.asyncIterator]().next()).done, true);
  else t.match(result.reason, { code: 'ERR_IVSHMEM_CLOSED' });
  await a.close();
  members[Symbol.dispose]();
});
