import { closeSync } from 'node:fs';
import t, { type Test } from 'tap';
import { parseConfig } from '../../../src/host/config/config.ts';
import type { Log } from '../../../src/host/log.ts';
import { silentLog } from '../../../src/host/log.ts';
import { openMemory } from '../../../src/host/serve/memory-source.ts';
import { type RegionParts, RegionServer } from '../../../src/host/serve/region-server.ts';
import { listen } from '../../../src/host/sockets/listener.ts';
import { isHeld, type Member, memberOf } from '../../../src/membership/member.ts';
import { directoryBytes, readDirectory } from '../../../src/memory/directory.ts';
import { MEMBER_W, OP_DESCRIBE, OP_GOODBYE, STATUS_EVICTED, STATUS_OK } from '../../../src/memory/layout.ts';
import { encodeItems, type MemberRecord } from '../../../src/memory/member-record.ts';
import { readTable } from '../../../src/memory/member-table.ts';
import { KIND_LEAVE, REASONS } from '../../../src/memory/membership.ts';
import { binding } from '../../../src/native/binding.ts';
import { until } from '../../support/protocol/until.ts';
import { RawMember } from '../../support/raw-member.ts';

const own = { pid: process.pid, uid: process.getuid!(), gid: process.getgid!() };
let scenes = 0;

function serve(
  t: Test,
  more: object = {},
  parts: Partial<RegionParts> = {},
): { region: RegionServer; socket: string } {
  const socket = `@ivshmem-region-${process.pid}-${scenes++}`;
  const input = { name: 'region', socket, size: '1M', slots: 4, channels: 16, ...more };
  const config = parseConfig({ regions: [input] }, 'of a test').regions[0]!;
  const eventfds = Array.from({ length: config.slots }, () => [
    binding.eventfdCreate(),
    binding.eventfdCreate(),
  ]);
  const region = new RegionServer(config, {
    memory: openMemory(config),
    eventfds,
    listener: listen(socket, 0o600, undefined),
    own,
    log: silentLog as Log,
    ...parts,
  });
  t.teardown(() => region.close());
  return { region, socket };
}

async function join(t: Test, socket: string): Promise<RawMember> {
  const member = await RawMember.join(socket);
  t.teardown(() => member.die());
  return member;
}

/** Who holds a slot, as the server knows it. */
const here = (region: RegionServer): Member[] => region.members().records.filter(isHeld).map(memberOf);

t.test('who is here now', async (t) => {
  const { region, socket } = serve(t);
  const a = await join(t, socket);
  t.match(here(region), [{ slot: 1, epoch: 1, name: '', state: 'joining', backend: 'unknown', ...own }]);
  await a.hello('a');
  const items = encodeItems([
    { type: 'address', text: '10.0.0.7' },
    { type: 'label', text: 'zone=a=b' },
  ]);
  new Uint8Array(a.words.buffer, (a.block() + MEMBER_W.draft) * 4, items.length).set(items);
  t.equal((await a.request(OP_DESCRIBE, items.length))[0], STATUS_OK);
  await a.listen('echo');
  const [member] = here(region);
  t.match(member, {
    name: 'a',
    state: 'active',
    addresses: ['10.0.0.7'],
    labels: { zone: 'a=b' },
    listeners: ['echo'],
  });
  t.match(region.status().members, [{ evicted: false }]);
  t.ok(Math.abs(Date.now() - member!.since.getTime()) < 60_000);
  t.match(region.counters, {
    connections: 1,
    joins: 1,
    views: 4,
    requests: { hello: { ok: 1 }, listen: { ok: 1 } },
  });
});

t.test('views are told to who asks, until it asks no more', async (t) => {
  const { region, socket } = serve(t);
  const told: MemberRecord[] = [];
  const stop = region.onView((record) => void told.push(record));
  const a = await join(t, socket);
  await a.hello('a');
  await a.request(OP_GOODBYE);
  t.same(
    told.map(({ view }) => view),
    [1, 2, 3],
  );
  t.equal(region.view, 3);
  stop();
  await a.hello('a', 2);
  t.equal(told.length, 3);
});

t.test('evicted', async (t) => {
  const { region, socket } = serve(t, { slots: 2 });
  const left: string[] = [];
  region.onView(({ kind, reason }) => void (kind === KIND_LEAVE && left.push(REASONS[reason]!)));
  const a = await join(t, socket);
  t.notOk(region.evict(0), 'not the server');
  t.notOk(region.evict(2), 'no such slot');
  await a.hello('a');
  t.ok(region.evict(1));
  t.same(left, ['evicted']);
  t.match(here(region), [{ state: 'joining' }]);
  t.match(region.status().members, [{ evicted: true }]);
  t.equal((await a.hello('a', 2))[0], STATUS_EVICTED);
  a.die();
  await until('the slot is free', () => here(region).length === 0);
  t.notOk(region.evict(1), 'nobody is there');
  const b = await join(t, socket);
  t.equal((await b.hello('a', 3))[0], STATUS_OK);
});

t.test('an admission rule with slots', async (t) => {
  const { region, socket } = serve(t, { admit: [{ uid: own.uid, slots: 1 }] });
  const a = await join(t, socket);
  await t.rejects(RawMember.join(socket), { code: 'ERR_IVSHMEM_HOST_REFUSED' });
  t.equal(region.counters.refusals.rule_full, 1);
  a.die();
  await until('the slot is free', () => here(region).length === 0);
  t.equal((await join(t, socket)).slot, 1);
});

t.test('a directory repeats the membership', async (t) => {
  const fd = binding.createMemfd('directory', directoryBytes(4), true, false);
  const mapping = binding.mapFile(fd, 0, directoryBytes(4), true);
  const close = (): void => {
    mapping.close();
    closeSync(fd);
  };
  const directory = { fd, mapping, close, leave: close };
  const { region, socket } = serve(t, {}, { directory });
  const a = await join(t, socket);
  await a.hello('a');
  const place = readDirectory(mapping.buffer, 4, a.header.uuid);
  t.match(readTable(new Int32Array(mapping.buffer), place), {
    view: 2,
    records: [null, { name: 'a' }, null, null],
  });
  region.close();
  t.equal(mapping.byteLength, 0, 'closed with the region');
});

t.test('frozen, it leaves everything as it is', async (t) => {
  const { region, socket } = serve(t);
  const a = await join(t, socket);
  await a.hello('a');
  const b = await join(t, socket);
  region.freeze();
  b.die();
  const late = RawMember.join(socket);
  const answer = a.listen('echo');
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  t.match(region.members().view, 3);
  t.equal(region.clientSockets().size, 2);
  region.thaw();
  t.equal((await answer)[0], STATUS_OK);
  const member = await late;
  t.teardown(() => member.die());
  await until('b is gone', () => here(region).length === 2);
});
