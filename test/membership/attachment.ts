/** A member's life as its server sees it: how it begins, how it ends, signs of life. */
import { spawn } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { Region } from '../../src/channel/index.ts';
import type { Life } from '../../src/membership/index.ts';
import {
  LAYOUT_MAJOR,
  LAYOUT_MINOR,
  MEMBER_W,
  OP_DRAIN,
  OP_GOODBYE,
  OP_HELLO,
  PAGE_BYTES,
  STATISTICS,
  STATUS_BAD_REQUEST,
  STATUS_EVICTED,
} from '../../src/memory/layout.ts';
import { REASON_CLOSED, REASON_MIGRATED, REASON_UNPLUGGED } from '../../src/memory/membership.ts';
import { FakeServer } from '../support/fake-server.ts';
import { until } from '../support/protocol/until.ts';

function start(t: Test, members = 2): FakeServer {
  const server = new FakeServer(members);
  t.teardown(() => server.close());
  return server;
}

async function join(t: Test, server: FakeServer, slot: number, more = {}): Promise<Region> {
  const region = await Region.join(server.device(slot), { name: `m${slot}`, addresses: [], ...more });
  t.teardown(() => region.close());
  return region;
}

t.test('hello names a life; close says goodbye with its reason, and no obituary', async (t) => {
  const server = start(t);
  const lives: Life[] = [];
  Object.assign(server.backends[1]!, { guard: (life: Life) => lives.push(life) });
  const region = await join(t, server, 1);
  const { generation } = server.views.records[1]!;
  t.ok(generation > 0);
  t.same(lives, [
    {
      slot: 1,
      generation,
      obituaryOffset: (server.block(1) + MEMBER_W.obituary) * 4,
      serverBlockOffset: server.block(0) * 4,
    },
  ]);
  t.equal(lives[0]!.serverBlockOffset % PAGE_BYTES, 0);
  await region.close({ reason: 'migrated' });
  await region.close();
  t.same(server.asked, [
    { slot: 1, op: OP_HELLO, argument: (LAYOUT_MAJOR << 16) | LAYOUT_MINOR },
    { slot: 1, op: OP_GOODBYE, argument: REASON_MIGRATED },
  ]);
  t.equal(server.word(1, MEMBER_W.obituary), 0);
});

t.test('a server that is away when a member closes finds its obituary', { timeout: 60_000 }, async (t) => {
  const server = start(t);
  const region = await join(t, server, 1);
  const generation = server.views.records[1]!.generation;
  server.answer = () => undefined;
  await t.rejects(region.close(), { code: 'ERR_IVSHMEM_SERVER_SILENT' });
  t.equal(server.word(1, MEMBER_W.obituary), generation);
  t.equal(server.word(1, MEMBER_W.obituaryReason), REASON_CLOSED);
});

t.test(
  'who was never answered leaves an obituary: the server may still find his hello',
  { timeout: 60_000 },
  async (t) => {
    const server = start(t);
    server.answer = () => undefined;
    await t.rejects(join(t, server, 1), { code: 'ERR_IVSHMEM_SERVER_SILENT' });
    const [op, , generation] = server.words.slice(server.block(1) + MEMBER_W.request + 1);
    t.equal(op, OP_HELLO);
    t.equal(server.word(1, MEMBER_W.obituary), generation, 'of the life in the mailbox');
    t.equal(server.word(1, MEMBER_W.obituaryReason), REASON_CLOSED);
  },
);

t.test('unplugged while it joins: the hello in the mailbox is that of a dead', async (t) => {
  const server = start(t);
  server.answer = () => undefined;
  const joining = t.rejects(join(t, server, 1), { code: 'ERR_IVSHMEM_DEVICE_REMOVED' });
  await until('hello', () => server.word(1, MEMBER_W.request) !== 0, 10);
  server.backends[1]!.unplug();
  await joining;
  const [, , generation] = server.words.slice(server.block(1) + MEMBER_W.request + 1);
  t.equal(server.word(1, MEMBER_W.obituary), generation);
  t.equal(server.word(1, MEMBER_W.obituaryReason), REASON_UNPLUGGED);
});

t.test('a member that was not admitted leaves no obituary', async (t) => {
  const server = start(t);
  server.answer = () => STATUS_EVICTED;
  await t.rejects(join(t, server, 1), { code: 'ERR_IVSHMEM_REFUSED', message: /was evicted/ });
  t.equal(server.word(1, MEMBER_W.obituary), 0);
});

t.test('who was put out closes without a word', async (t) => {
  const server = start(t);
  const region = await join(t, server, 1);
  server.answer = () => STATUS_EVICTED;
  await t.rejects(region.drain(), { code: 'ERR_IVSHMEM_REFUSED', message: /was evicted/ });
  await region.close();
  t.match(server.asked.at(-1), { op: OP_GOODBYE });
  t.equal(server.word(1, MEMBER_W.obituary), 0);
});

t.test('unplug: the obituary is written while memory still works, and channels end as died', async (t) => {
  const server = start(t);
  const region = await join(t, server, 1);
  const { generation } = server.views.records[1]!;
  let removed = 0;
  region.onRemoved(() => removed++);
  server.backends[1]!.unplug();
  t.equal(server.word(1, MEMBER_W.obituary), generation);
  t.equal(server.word(1, MEMBER_W.obituaryReason), REASON_UNPLUGGED);
  await until('the server is told', () => server.visited.includes(1), 10);
  t.equal(removed, 1);
  await t.rejects(region.drain(), { code: 'ERR_IVSHMEM_CLOSED' });
});

t.test('one exit hook for all regions, there as long as there is one', async (t) => {
  const server = start(t, 3);
  const before = process.listenerCount('exit');
  const regions = [await join(t, server, 1), await join(t, server, 2), await join(t, server, 3)];
  t.equal(process.listenerCount('exit'), before + 1);
  for (const region of regions) await region.close();
  t.equal(process.listenerCount('exit'), before);
});

t.test('a process that exits without close writes its obituaries and rings', async (t) => {
  const program = `
    import { FakeServer } from './test/support/fake-server.ts';
    import { Region } from './src/channel/index.ts';
    import { MEMBER_W } from './src/memory/layout.ts';
    const server = new FakeServer(2);
    const name = { addresses: [] };
    await Region.join(server.device(1), { name: 'a', ...name });
    await Region.join(server.device(2), { name: 'b', ...name });
    process.on('exit', () => {
      server.serve();
      const told = [1, 2].map((slot) => server.word(slot, MEMBER_W.obituary) === server.views.records[slot].generation);
      console.log(JSON.stringify({ told, reason: server.word(1, MEMBER_W.obituaryReason), visited: server.visited }));
    });
    process.exit(3);`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '', NODE_V8_COVERAGE: '' },
    timeout: 60_000,
  });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  const [code] = await once(child, 'close');
  t.equal(code, 3);
  t.same(JSON.parse(output), { told: [true, true], reason: REASON_CLOSED, visited: [1, 2] });
});

t.test('a pulse is answered, with statistics', async (t) => {
  const server = start(t);
  const region = await join(t, server, 1);
  const rung = (): number => server.word(1, MEMBER_W.statistics + 2 * STATISTICS.indexOf('doorbellsRung'));
  server.pulse(1, 7);
  await until('an answer', () => server.word(1, MEMBER_W.pulseAnswer) === 7, 10);
  const before = rung();
  t.ok(before >= 1, 'the HELLO');
  t.equal(server.word(1, MEMBER_W.statistics + 2 * STATISTICS.indexOf('channelsOpened')), 0);
  t.same(server.visited, [], 'no doorbell for it');
  await region.drain();
  t.match(server.asked.at(-1), { op: OP_DRAIN });
  server.views.suspect(1);
  server.pulse(1, 8);
  await until('an answer', () => server.word(1, MEMBER_W.pulseAnswer) === 8, 10);
  t.ok(rung() > before);
  await until('who is suspected tells at once that it lives', () => server.visited.includes(1), 10);
});

t.test('a server that is gone ends what waits for it, on time', { timeout: 60_000 }, async (t) => {
  const server = start(t);
  const region = await join(t, server, 1);
  server.answer = () => undefined;
  await t.rejects(region.listen('x'), { code: 'ERR_IVSHMEM_SERVER_SILENT' });
  // Who closes meanwhile is told at once.
  const waits = [region.connect('y'), region.drain(), region.membership({ suspectAfterMs: 100 })];
  const told = Promise.allSettled(waits);
  await region.close();
  for (const result of await told) t.match(result, { reason: { code: 'ERR_IVSHMEM_CLOSED' } });
});

t.test(
  'a request that spans a restart of the server is answered by the next one',
  { timeout: 30_000 },
  async (t) => {
    const server = start(t);
    const region = await join(t, server, 1);
    let deaf = true;
    let unheard = 0;
    server.answer = () => {
      if (!deaf) return 0;
      unheard++;
      return undefined;
    };
    const drained = region.drain();
    await until('the mark to be taken', () => unheard > 0, 10);
    t.equal(server.asked.at(-1)!.op, OP_HELLO, 'the mark was taken, and nobody answered');
    deaf = false;
    await drained;
    t.equal(server.asked.at(-1)!.op, OP_DRAIN);
  },
);

t.test('what a member says of itself when it joins', async (t) => {
  const server = start(t, 4);
  await join(t, server, 1, { labels: { role: 'db' } });
  const draft = Buffer.from(server.words.buffer, (server.block(1) + MEMBER_W.draft) * 4, 9);
  t.equal(draft.toString('latin1'), '\x02\x07role=db', 'type, length, text');
  t.match(server.asked.at(-1), { slot: 1, op: OP_HELLO }, 'HELLO takes it along');
  await join(t, server, 2);
  const none = Buffer.from(server.words.buffer, (server.block(2) + MEMBER_W.draft) * 4, 9);
  t.ok(
    none.every((byte) => byte === 0),
    'no addresses, no labels',
  );
  const most = { code: 'ERR_IVSHMEM_MEMBERSHIP_DESCRIPTION' };
  await t.rejects(join(t, server, 3, { labels: { '': 'x' } }), most);
  server.answer = (op) => (op === OP_HELLO ? STATUS_BAD_REQUEST : 0);
  await t.rejects(join(t, server, 4, { addresses: ['10.0.0.1'] }), { code: 'ERR_IVSHMEM_REFUSED' });
});

t.test('diagnostics: joining, channels and leaving are published to who subscribed', async (t) => {
  const server = start(t);
  const seen: unknown[] = [];
  const note = (message: unknown, name: string | symbol): void => {
    seen.push([name, message]);
  };
  for (const name of ['ivshmem:region.join', 'ivshmem:region.leave']) subscribe(name, note);
  const region = await join(t, server, 1);
  await region.close();
  for (const name of ['ivshmem:region.join', 'ivshmem:region.leave']) unsubscribe(name, note);
  const about = { region: 'fake', on: 'linked peer 1', name: 'm1', slot: 1 };
  t.same(seen, [
    ['ivshmem:region.join', about],
    ['ivshmem:region.leave', about],
  ]);
});
