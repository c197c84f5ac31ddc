/** Region.membership() over a server that the test plays. */
import { spawn } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { Region } from '../../src/channel/index.ts';
import type { Description, Membership, MembershipEvent } from '../../src/membership/index.ts';
import { directoryBytes, writeDirectory } from '../../src/memory/directory.ts';
import {
  HEADER_W,
  MEMBER_W,
  OP_DESCRIBE,
  OP_REFRESH,
  OP_SUSPECT,
  STATUS_QUOTA,
} from '../../src/memory/layout.ts';
import { MEMBERSHIP_W, REASON_CRASHED, RECORD_WORDS } from '../../src/memory/membership.ts';
import { FakeServer } from '../support/fake-server.ts';
import { until } from '../support/protocol/until.ts';
import { ViewWriter } from '../support/view-writer.ts';

async function start(t: Test): Promise<{ server: FakeServer; region: Region }> {
  const server = new FakeServer(7);
  t.teardown(() => server.close());
  const region = await Region.join(server.device(1), { name: 'me', addresses: [] });
  t.teardown(() => region.close());
  return { server, region };
}

/** Spoils every record of a slot, and the log. */
function spoil(server: FakeServer, slot: number): void {
  const { header, tables } = server.place;
  for (const table of tables) server.words[table + slot * RECORD_WORDS + 10]! ^= 0x100;
  server.words[header + MEMBERSHIP_W.logEnd]! += 500;
}

const note = (members: Membership): string[] => {
  const seen: string[] = [];
  const add = (event: MembershipEvent): void => {
    seen.push(`${event.type} ${event.member.name}`);
  };
  for (const type of ['join', 'update', 'suspect', 'recovered', 'leave'] as const) members.on(type, add);
  return seen;
};

t.test('events arrive without asking; only who watches is told', async (t) => {
  const { server, region } = await start(t);
  t.equal(server.word(1, MEMBER_W.watching), 0);
  const members = await region.membership();
  t.equal(server.word(1, MEMBER_W.watching), 1);
  t.equal(members.self!.name, 'me');
  const seen = note(members);
  server.views.connect(2);
  server.views.join(2, 'b');
  server.tell();
  await until('an event', () => seen.length === 1, 10);
  server.views.leave(2, REASON_CRASHED);
  server.tell();
  for await (const event of members) {
    t.match(event, { type: 'leave', reason: 'crashed', member: { name: 'b' } });
    break;
  }
  t.same(seen, ['join b', 'leave b']);
  t.equal(members.view, server.views.view);
  members.close();
  t.equal(server.word(1, MEMBER_W.watching), 0);
});

t.test('several memberships of one region see the same; the last one stops watching', async (t) => {
  const { server, region } = await start(t);
  const [one, two] = [await region.membership(), await region.membership()];
  const seen = [note(one), note(two)];
  server.views.join(2, 'b');
  server.tell();
  await until('both', () => seen.every((each) => each.length === 1), 10);
  one.close();
  t.equal(server.word(1, MEMBER_W.watching), 1);
  server.views.suspect(2);
  server.tell();
  await until('the other', () => seen[1]!.length === 2, 10);
  t.equal(seen[0]!.length, 1);
  await region.close();
  for await (const event of two) t.fail(event.type);
  await t.rejects(region.membership(), { code: 'ERR_IVSHMEM_CLOSED' });
});

t.test('the shortest span that somebody asks for is what the server is told', async (t) => {
  const { server, region } = await start(t);
  const asked = (): number[] =>
    server.asked.filter(({ op }) => op === OP_SUSPECT).map(({ argument }) => argument);
  const slow = await region.membership({ suspectAfterMs: 1000 });
  const fast = await region.membership({ suspectAfterMs: 200 });
  const slower = await region.membership({ suspectAfterMs: 5000 });
  const none = await region.membership();
  t.same(asked(), [1000, 200]);
  fast.close();
  await until('the next shortest', () => asked().at(-1) === 1000, 10);
  slow.close();
  slower.close();
  await until('nobody asks any more', () => asked().at(-1) === 0, 10);
  none.close();
  for (const suspectAfterMs of [0, 9, 1.5, Number.NaN, 3_600_001, -1])
    await t.rejects(region.membership({ suspectAfterMs }), { code: 'ERR_IVSHMEM_MEMBERSHIP_OPTIONS' });
  server.answer = (op) => (op === OP_SUSPECT ? STATUS_QUOTA : 0);
  await t.rejects(region.membership({ suspectAfterMs: 100 }), { code: 'ERR_IVSHMEM_REFUSED' });
  t.equal(server.word(1, MEMBER_W.watching), 0, 'one that failed does not watch');
});

t.test('a damaged table is written again by the server, and what was missed comes as events', async (t) => {
  const { server, region } = await start(t);
  const members = await region.membership();
  const seen = note(members);
  server.views.join(2, 'b');
  spoil(server, 2);
  server.tell();
  await until('the join', () => seen.length === 1, 10);
  t.same(seen, ['join b']);
  t.equal(server.asked.filter(({ op }) => op === OP_REFRESH).length, 1);
  server.views.join(3, 'c');
  server.tell();
  await until('it goes on', () => seen.length === 2, 10);
});

t.test('membership() over a damaged table waits for the server', async (t) => {
  const { server, region } = await start(t);
  spoil(server, 1);
  const members = await region.membership();
  t.equal(members.self!.name, 'me');
});

t.test('damage that stays is an error, and what was known stays', { timeout: 60_000 }, async (t) => {
  const { server, region } = await start(t);
  const members = await region.membership();
  server.heals = false;
  const error = new Promise<Error>((resolve) => members.on('error', resolve));
  const iterated = t.rejects(
    async () => {
      for await (const event of members) t.fail(event.type);
    },
    { code: 'ERR_IVSHMEM_MEMBERSHIP_DAMAGED' },
  );
  spoil(server, 1);
  server.tell();
  t.match(await error, { code: 'ERR_IVSHMEM_MEMBERSHIP_DAMAGED', message: /record of slot 1/ });
  await iterated;
  t.equal(members.self!.name, 'me');
  t.equal(server.asked.filter(({ op }) => op === OP_REFRESH).length, 3, 'it was asked a few times, no more');
  server.heals = true;
  server.views.join(2, 'b');
  server.tell();
  await until('healed at the next view', () => members.get('b') !== null, 10);
});

t.test(
  'random scribbles while views come and are read: healed in the end',
  { timeout: 60_000 },
  async (t) => {
    const { server, region } = await start(t);
    const members = await region.membership();
    const errors: Error[] = [];
    members.on('error', (error) => errors.push(error));
    const { header, log } = server.place;
    let seed = 12_345;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    for (let round = 0; round < 200; round++) {
      server.views.join(2 + random(6), `m${round}`);
      for (let i = 0; i < 20; i++)
        server.words[header + (random(2) === 0 ? random(80) : random(log + 16_384 - header))] = random(
          2 ** 32,
        );
      server.tell();
      await new Promise((resolve) => setImmediate(resolve));
    }
    server.views.rewrite();
    server.views.join(7, 'last');
    server.tell();
    await until('the truth', () => members.get('last') !== null, 20);
    t.same(
      members.list().map(({ name }) => name),
      server.views.records.flatMap((record) => (record === null ? [] : [record.name])),
    );
    t.same(errors, []);
  },
);

t.test('a directory is read instead of the region, which members can write', async (t) => {
  const { server, region } = await start(t);
  const { slots, uuid } = region.header;
  const memory = new ArrayBuffer(directoryBytes(slots));
  const directory = new ViewWriter(new Int32Array(memory), writeDirectory(memory, slots, uuid));
  directory.join(1, 'me');
  const members = await region.membership({ directory: { memory } });
  const seen = note(members);
  spoil(server, 1);
  directory.join(2, 'b');
  server.tell();
  await until('the event', () => seen.length > 0, 10);
  t.same(seen, ['join b']);
  t.equal(server.asked.filter(({ op }) => op === OP_REFRESH).length, 0, 'the damage concerns nobody');
  members.close();
  t.equal(server.word(1, MEMBER_W.watching), 0);
  const other = new ArrayBuffer(directoryBytes(slots));
  writeDirectory(other, slots, 'f'.repeat(32));
  await t.rejects(region.membership({ directory: { memory: other } }), { code: 'ERR_IVSHMEM_DIRECTORY' });
  t.equal(server.word(1, MEMBER_W.watching), 0);
});

t.test('describe: what is left out stays', async (t) => {
  const { server, region } = await start(t);
  const members = await region.membership();
  const bytes = (): number[] =>
    server.asked.filter(({ op }) => op === OP_DESCRIBE).map(({ argument }) => argument);
  await members.describe({ addresses: ['10.0.0.1'] });
  await members.describe({ labels: { a: 'b' } });
  await members.describe({ addresses: [] });
  t.same(bytes(), [10, 15, 5]);
  const refused: Description[] = [
    { addresses: [''] },
    { addresses: ['x'.repeat(256)] },
    { labels: { 'a=b': 'c' } },
    { labels: { a: 'line\nbreak' } },
    { addresses: Array.from({ length: 10 }, () => 'x'.repeat(100)) },
  ];
  for (const description of refused)
    await t.rejects(members.describe(description), { code: 'ERR_IVSHMEM_MEMBERSHIP_DESCRIPTION' });
});

t.test('a region of layout 1.0 has no membership', async (t) => {
  const server = new FakeServer(2);
  t.teardown(() => server.close());
  server.useLayout10();
  const region = await Region.join(server.device(1), { name: 'me' });
  t.teardown(() => region.close());
  t.same(
    server.asked.map(({ op }) => op),
    [1],
    'no description either',
  );
  t.equal(server.words[HEADER_W.membershipPage], 0);
  const absent = { code: 'ERR_IVSHMEM_MEMBERSHIP_ABSENT', message: /version 1\.0/ };
  await t.rejects(region.membership(), absent);
  await t.rejects(Region.join(server.device(2), { name: 'b', labels: { a: 'b' } }), absent);
});

t.test('without interrupts, views are seen while somebody waits', async (t) => {
  const { server } = await start(t);
  const device = server.device(2);
  Object.defineProperty(device, 'vectors', { value: 0 });
  const polled = await Region.join(device, { name: 'polled', addresses: [] });
  t.teardown(() => polled.close());
  const members = await polled.membership();
  const events = members[Symbol.asyncIterator]();
  const next = events.next();
  server.views.suspect(1);
  server.tell();
  t.match(await next, { value: { type: 'suspect', member: { name: 'me' } } });
  await events.return?.();
});

t.test('diagnostics: events of members, once however many memberships there are', async (t) => {
  const { server, region } = await start(t);
  const [one, two] = [await region.membership(), await region.membership()];
  const seen: unknown[] = [];
  const listener = (message: unknown): void => {
    seen.push(message);
  };
  subscribe('ivshmem:member.join', listener);
  t.teardown(() => unsubscribe('ivshmem:member.join', listener));
  server.views.join(2, 'b');
  server.tell();
  await until('published', () => seen.length > 0, 10);
  t.match(seen, [{ region: 'fake', type: 'join', member: { name: 'b' } }]);
  t.equal(one.view, two.view);
});

t.test('having a membership keeps no process alive, listening does', { timeout: 60_000 }, async (t) => {
  const program = (listening: boolean): string => `
    import { FakeServer } from './test/support/fake-server.ts';
    import { Region } from './src/channel/index.ts';
    const server = new FakeServer(2);
    const region = await Region.join(server.device(1), { name: 'a', addresses: [] });
    server.unref();
    const members = await region.membership();
    ${listening ? "members.on('join', () => {});" : ''}
    console.log('ready');`;
  for (const listening of [false, true]) {
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', program(listening)],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, NODE_OPTIONS: '', NODE_V8_COVERAGE: '' },
        timeout: 30_000,
      },
    );
    const closed = once(child, 'close');
    await once(child.stdout, 'data');
    if (listening) {
      const early = await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 500, 'alive'))]);
      t.equal(early, 'alive');
      child.kill('SIGKILL');
    }
    const [code, signal] = await closed;
    t.same([code, signal], listening ? [null, 'SIGKILL'] : [0, null]);
  }
});
