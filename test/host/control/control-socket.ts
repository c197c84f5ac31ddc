import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { IvshmemError } from '../../../src/errors/index.ts';
import { ControlClient } from '../../../src/host/control/control-client.ts';
import type { ControlSubject, Handover } from '../../../src/host/control/control-desk.ts';
import { ControlSocket } from '../../../src/host/control/control-socket.ts';
import { type Log, silentLog } from '../../../src/host/log.ts';
import { listen } from '../../../src/host/sockets/listener.ts';
import type { MemberRecord } from '../../../src/memory/member-record.ts';
import {
  KIND_JOIN,
  KIND_LEAVE,
  REASON_CRASHED,
  STATE_ACTIVE,
  STATE_FREE,
} from '../../../src/memory/membership.ts';
import type { RegionSample } from '../../../src/observe/sample.ts';

/** A region that does what it is told. */
class FakeRegion implements ControlSubject {
  readonly name = 'fake';
  view = 0;
  records: MemberRecord[] = [];
  readonly listeners = new Set<(record: MemberRecord) => void>();
  readonly evicted: number[] = [];
  readonly drained: object[] = [];
  sampling: Promise<void> = Promise.resolve();

  status() {
    return {
      name: this.name,
      socket: '@fake',
      sizeBytes: 1 << 20,
      slots: 4,
      channels: 0,
      freeHeapBytes: 0,
      members: [],
    } as unknown as ReturnType<ControlSubject['status']>;
  }

  members() {
    return { view: this.view, records: this.records };
  }

  async spaces() {
    return { region: this.name, spaces: [] };
  }

  async removeSpace(name: string): Promise<{ readonly holders: number }> {
    if (name === 'known') return { holders: 2 };
    throw new IvshmemError('ERR_IVSHMEM_SPACE_MISSING', { operation: 'remove a space', on: this.name });
  }

  onView(callback: (record: MemberRecord) => void): () => void {
    this.listeners.add(callback);
    return () => this.listeners.delete(callback);
  }

  async sample(): Promise<RegionSample> {
    await this.sampling;
    return {
      region: this.name,
      at: 1,
      view: this.view,
      sizeBytes: 8192,
      slots: 4,
      channelEntries: 8,
      heapBytes: 4096,
      freeHeapBytes: 4096,
      members: [],
      channels: [],
    };
  }

  evict(slot: number): boolean {
    this.evicted.push(slot);
    return true;
  }

  drain(slot: number, options: { migrates: boolean; ms: number }): Promise<number> | null {
    this.drained.push({ slot, ...options });
    return slot === 9 ? null : Promise.resolve(2);
  }

  undrain(slot: number): boolean {
    this.drained.push({ slot });
    return true;
  }

  publish(change: Partial<MemberRecord> & Pick<MemberRecord, 'slot' | 'kind' | 'state'>): void {
    const record = { ...nobody, ...change, view: ++this.view };
    this.records = [...this.records.filter(({ slot }) => slot !== record.slot), record];
    for (const listener of this.listeners) listener(record);
  }

  join(slot: number, name: string): void {
    this.publish({ slot, kind: KIND_JOIN, state: STATE_ACTIVE, name });
  }

  crash(slot: number, name: string): void {
    this.publish({ slot, kind: KIND_LEAVE, state: STATE_FREE, reason: REASON_CRASHED, name });
  }
}

const nobody: MemberRecord = {
  view: 0,
  kind: 0,
  reason: 0,
  state: 0,
  slot: 0,
  epoch: 1,
  generation: 7,
  time: Date.UTC(2026, 0, 1),
  name: '',
  pid: 10,
  uid: 0,
  gid: 0,
  backend: 3,
  listenersTruncated: false,
  items: [],
};

function serve(t: Test, handover?: Handover, log: Log = silentLog) {
  const folder = mkdtempSync(join(tmpdir(), 'ivshmem-control-'));
  const path = join(folder, 'c.control');
  const region = new FakeRegion();
  const socket = new ControlSocket(listen(path, 0o600, undefined), region, log, handover);
  t.teardown(() => {
    socket.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { path, region, socket };
}

/** A client that says what it is told, and what it was answered. */
async function raw(t: Test, path: string): Promise<{ socket: Socket; lines: () => Promise<string[]> }> {
  const socket = connect({ path, allowHalfOpen: true });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  const ended = new Promise<void>((resolve) => socket.on('close', resolve).on('end', resolve));
  await new Promise((resolve) => socket.once('connect', resolve));
  return {
    socket,
    lines: async () => {
      await ended;
      return Buffer.concat(chunks).toString().split('\n').filter(Boolean);
    },
  };
}

t.test('requests are answered in their order, those after a slow one too', async (t) => {
  const { path, region } = serve(t);
  t.equal(statSync(path).mode & 0o777, 0o600, 'for its owner only');
  let release = (): void => {};
  region.sampling = new Promise((resolve) => {
    release = resolve;
  });
  region.join(1, 'a');
  const { socket, lines } = await raw(t, path);
  socket.end('{"op":"sample"}\n{"op":"members"}\n{"op":"status"}\n');
  await new Promise((resolve) => setImmediate(resolve));
  release();
  const answers = (await lines()).map((line) => JSON.parse(line));
  t.match(answers[0], { ok: true, sample: { region: 'fake', view: 1 } });
  t.match(answers[1], {
    ok: true,
    region: 'fake',
    view: 1,
    members: [{ slot: 1, name: 'a', state: 'active', backend: 'host', since: '2026-01-01T00:00:00.000Z' }],
  });
  t.match(answers[2], { ok: true, status: { name: 'fake' } });
  t.equal(answers.length, 3);
});

t.test('watch: the members, then each event with what the member was', async (t) => {
  const { path, region } = serve(t);
  region.join(1, 'a');
  const client = await ControlClient.connect(path);
  t.teardown(() => client.close());
  const { view, members } = await client.ask({ op: 'watch' });
  t.equal(view, 1);
  t.strictSame(
    members.map(({ name }) => name),
    ['a'],
  );
  region.join(2, 'b');
  region.crash(1, 'a');
  const events = client.events();
  t.match((await events.next()).value, { event: 'join', view: 2, member: { slot: 2, name: 'b' } });
  const { value: leave } = await events.next();
  t.match(leave, { event: 'leave', reason: 'crashed', view: 3, at: '2026-01-01T00:00:00.000Z' });
  t.match(leave, { member: { slot: 1, name: 'a', state: 'active' } }, 'as it was');
  t.equal(region.listeners.size, 1);
  client.close();
  await until(t, () => region.listeners.size === 0, 'nobody looks at views any more');
});

t.test('evict by name and by slot', async (t) => {
  const { path, region } = serve(t);
  region.join(3, 'bad');
  const client = await ControlClient.connect(path);
  t.teardown(() => client.close());
  t.match(await client.ask({ op: 'evict', member: 'bad' }), { member: { slot: 3, name: 'bad' } });
  t.match(await client.ask({ op: 'evict', member: 3 }), { member: { slot: 3, name: 'bad' } });
  t.strictSame(region.evicted, [3, 3]);
  await t.rejects(client.ask({ op: 'evict', member: 'nobody' }), { code: 'ERR_IVSHMEM_NO_MEMBER' });
  await t.rejects(client.ask({ op: 'evict', member: 2 }), { code: 'ERR_IVSHMEM_NO_MEMBER' });
});

t.test('drain by name and by slot, and take it back', async (t) => {
  const { path, region } = serve(t);
  region.join(3, 'mover');
  region.join(9, 'gone');
  const client = await ControlClient.connect(path);
  t.teardown(() => client.close());
  const drain = { op: 'drain', member: 'mover' } as const;
  t.match(await client.ask({ ...drain, migrates: true, ms: 50 }), { member: { slot: 3 }, channels: 2 });
  t.match(await client.ask({ ...drain, member: 3 }), { member: { name: 'mover' }, channels: 2 });
  t.match(await client.ask({ op: 'undrain', member: 'mover' }), { member: { slot: 3 } });
  t.strictSame(region.drained, [
    { slot: 3, migrates: true, ms: 50 },
    { slot: 3, migrates: false, ms: 0 },
    { slot: 3 },
  ]);
  for (const member of ['nobody', 'gone'])
    await t.rejects(client.ask({ op: 'drain', member }), { code: 'ERR_IVSHMEM_NO_MEMBER' });
});

t.test('a handover is for whoever was given to do it', async (t) => {
  const without = serve(t);
  const client = await ControlClient.connect(without.path);
  t.teardown(() => client.close());
  await t.rejects(client.ask({ op: 'handover' }), { code: 'ERR_IVSHMEM_CONTROL_ANSWER' });

  const asked: unknown[] = [];
  const { path } = serve(t, async (request) => {
    asked.push(request);
    return { descriptors: 5 };
  });
  const other = await ControlClient.connect(path);
  t.teardown(() => other.close());
  t.match(await other.ask({ op: 'handover', to: '@x' }), { ok: true, descriptors: 5 });
  t.strictSame(asked, [{ to: '@x' }]);
});

t.test('nonsense is answered, and the session goes on', async (t) => {
  const { path } = serve(t);
  const { socket, lines } = await raw(t, path);
  const bad = [
    '{',
    '[]',
    '"op"',
    '{"op":"reboot"}',
    '{"op":"evict"}',
    '{"op":"evict","member":-1}',
    '{"op":"drain","member":1,"ms":600001}',
    '\0\xff',
  ];
  socket.end(`${[...bad, '{"op":"status","more":1}', ''].join('\n')}\n{"op":"members"}\n`);
  const answers = (await lines()).map((line) => JSON.parse(line));
  t.equal(answers.length, bad.length + 3);
  for (const answer of answers.slice(0, -1)) {
    t.match(answer, { ok: false, code: 'ERR_IVSHMEM_CONTROL_REQUEST', message: String });
  }
  t.equal(answers.at(-1).ok, true);
});

t.test('a line without end is refused, and ends the session', async (t) => {
  const { path, region } = serve(t);
  const { socket, lines } = await raw(t, path);
  socket.write('x'.repeat(1 << 20));
  t.match(JSON.parse((await lines())[0]!), { ok: false, message: /longer than 4096 bytes/ });
  region.join(1, 'a');
  const client = await ControlClient.connect(path);
  t.teardown(() => client.close());
  t.equal((await client.ask({ op: 'members' })).members.length, 1, 'others are served');
});

t.test('a client that does not read is dropped, others hear everything', async (t) => {
  const { path, region } = serve(t);
  const deaf = connect({ path });
  t.teardown(() => deaf.destroy());
  deaf.pause();
  let closed = false;
  deaf.on('error', () => {});
  deaf.on('close', () => {
    closed = true;
  });
  deaf.write('{"op":"watch"}\n');
  const client = await ControlClient.connect(path);
  t.teardown(() => client.close());
  await client.ask({ op: 'watch' });
  const events = client.events();
  let heard = 0;
  await until(t, () => region.listeners.size === 1, 'both watch');
  for (let round = 0; round < 200; round++) {
    for (let n = 0; n < 50; n++) region.join(1 + (n % 3), `${'n'.repeat(20)}${n}`);
    for (let n = 0; n < 50; n++, heard++) await events.next();
  }
  t.equal(heard, 10_000);
  deaf.resume();
  await until(t, () => closed, 'the deaf one is dropped');
});

t.test('a client that asks without reading is not answered without end', async (t) => {
  const { path, region } = serve(t);
  let asked = 0;
  const answer = region.status.bind(region);
  region.status = () => {
    asked++;
    return { ...answer(), name: 'x'.repeat(100_000) };
  };
  const greedy = connect({ path });
  greedy.on('error', () => {});
  t.teardown(() => greedy.destroy());
  greedy.pause();
  greedy.write('{"op":"status"}\n'.repeat(10_000));
  const client = await ControlClient.connect(path);
  t.teardown(() => client.close());
  for (let n = 0; n < 20; n++) await client.ask({ op: 'members' });
  t.ok(asked < 100, `${asked} answers were made`);
});

t.test('more clients than there is room for', async (t) => {
  const { path } = serve(t);
  const silent = await Promise.all(Array.from({ length: 32 }, () => raw(t, path)));
  const { socket, lines } = await raw(t, path);
  socket.write('{"op":"members"}\n');
  t.strictSame(await lines(), [], 'is let go without an answer');
  silent[0]!.socket.destroy();
  await untilAnswered(t, path);
});

t.test('close ends sessions and is idempotent', async (t) => {
  const { path, socket, region } = serve(t);
  const client = await ControlClient.connect(path);
  await client.ask({ op: 'watch' });
  const events = client.events();
  socket.close();
  socket.close();
  t.equal((await events.next()).done, true);
  t.equal(region.listeners.size, 0);
  await t.rejects(ControlClient.connect(path), { code: 'ERR_IVSHMEM_CONTROL_CONNECT' });
});

async function until(t: Test, condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition() && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
  t.ok(condition(), what);
}

async function untilAnswered(t: Test, path: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const client = await ControlClient.connect(path);
    try {
      await client.ask({ op: 'members' });
      t.pass('a place that became free is given again');
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    } finally {
      client.close();
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
