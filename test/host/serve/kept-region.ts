import { closeSync, readdirSync, writeSync } from 'node:fs';
import t, { type Test } from 'tap';
import { openHost } from '../../../src/backend/host.ts';
import { createServer, type IvshmemServer, type Keeper } from '../../../src/host/index.ts';
import { Journal } from '../../../src/host/records/journal.ts';
import { MemfdStorage } from '../../../src/host/records/storage.ts';
import { keptName } from '../../../src/host/restart/kept.ts';
import { Parcel, sendParcel } from '../../../src/host/restart/parcel.ts';
import { SENT_IN_DOUBT } from '../../../src/host/sockets/handshake.ts';
import { Link } from '../../../src/host/sockets/link.ts';
import { open } from '../../../src/index.ts';
import { binding } from '../../../src/native/binding.ts';
import { ask, echoMember } from '../../support/echo-members.ts';
import { until } from '../../support/protocol/until.ts';
import { RawMember } from '../../support/raw-member.ts';

const name = 'a.b';
const descriptors = (): number => readdirSync('/proc/self/fd').length;
let sockets = 0;

/** Notes what is kept; the numbers are the server's own. */
class NotingKeeper implements Keeper {
  readonly holds = true;
  readonly kept = new Map<string, number>();
  served = 0;

  keep(key: string, fd: number): void {
    this.kept.set(key, fd);
  }
  forget(key: string): void {
    this.kept.delete(key);
  }
  ready(): void {
    this.served++;
  }
  stopping(): void {}
}

/** The same open files under other numbers, as another process would get them. */
async function duplicates(of: ReadonlyMap<string, number>): Promise<Map<string, number>> {
  const on = `@ivshmem-kept-link-${process.pid}-${sockets++}`;
  const listening = binding.socketListen(on, 1);
  const client = binding.socketConnect(on);
  const server = binding.socketAccept(listening);
  closeSync(listening);
  const parcel = new Parcel();
  let found: Map<string, number> | null = null;
  const receiver = new Link(server, {
    message: (value, fd) => {
      found = parcel.add(value, fd);
    },
    end: () => {},
  });
  const sender = new Link(client, { message: () => {}, end: () => {} });
  sendParcel(sender, of);
  await until('the parcel is there', () => found !== null);
  sender.close();
  receiver.close();
  return found!;
}

interface Start {
  readonly socket: string;
  readonly server: IvshmemServer;
  readonly keeper: NotingKeeper;
  readonly region: { name: string; socket: string; size: string; slots: number; vectors: number };
}

async function start(t: Test): Promise<Start> {
  const socket = `@ivshmem-kept-${process.pid}-${sockets++}`;
  const region = { name, socket, size: '4M', slots: 6, vectors: 2 };
  const keeper = new NotingKeeper();
  const server = await createServer({ regions: [region] }, { keeper });
  t.teardown(() => server.close());
  return { socket, server, keeper, region };
}

t.test('a region goes on where the last server left it', async (t) => {
  const before = descriptors();
  const { socket, server, keeper, region } = await start(t);
  t.equal(keeper.served, 1);
  const one = await echoMember(socket, 'one');
  t.teardown(() => one.close());
  const two = await open({ socket, name: 'two' });
  t.teardown(() => two.close());
  const lost = await openHost(socket);
  t.teardown(() => lost.close());
  const channel = await two.connect('echo-one');
  await ask(channel, 1);
  const { slots, vectors } = region;
  t.equal(keeper.kept.size, 4 + slots * vectors + 3, 'state, memory, two sockets, bells, clients');
  const kept = await duplicates(keeper.kept);
  const status = server.status().regions[0]!;
  server.regions[0]!.freeze();
  server.regions[0]!.abandon();
  // As if its keeper had lost it.
  const client = keptName(name, `client.${lost.ivPosition}`);
  keeper.kept.delete(client);
  closeSync(kept.get(client)!);
  kept.delete(client);

  const next = await createServer({ regions: [region] }, { keeper, kept });
  t.teardown(() => next.close());
  await until('the lost one is dead', () => next.status().regions[0]!.members.length === 2);
  t.same(
    next.status().regions[0]!.members,
    status.members.filter((member) => member.slot !== lost.ivPosition),
  );
  t.equal(next.status().regions[0]!.freeHeapBytes, status.freeHeapBytes);
  await ask(channel, 2);
  const another = await two.connect('echo-one');
  await ask(another, 3);
  await two.close();
  await until('two has left', () => next.status().regions[0]!.members.length === 1);
  const again = await open({ socket, name: 'two' });
  await again.close();
  await one.close();
  await next.close();
  t.equal(keeper.kept.size, 0, 'nothing is kept of a region that has ended');
  lost.close();
  await until('all descriptors are closed', () => descriptors() <= before);
});

t.test('a server that died while it sent, and nobody knows how much', async (t) => {
  const { socket, server, keeper, region } = await start(t);
  // One has everything, the other, as far as it knows, may get more.
  const whole = await RawMember.join(socket);
  t.teardown(() => whole.die());
  const waiting = binding.socketConnect(socket);
  await until('both have a slot', () => server.status().regions[0]!.members.length === 2);
  const kept = await duplicates(keeper.kept);
  server.regions[0]!.freeze();
  server.regions[0]!.abandon();
  const journal = Journal.load(new MemfdStorage(kept.get(keptName(name, 'state'))!), name);
  for (const [key, record] of journal.entries())
    if (/^slot\.[1-9]/.test(key) && (record as { sent: number }).sent > 0)
      journal.append([[key, { ...(record as object), sent: SENT_IN_DOUBT }]]);

  const next = await createServer({ regions: [region] }, { keeper, kept });
  t.teardown(() => next.close());
  const occupied = () => next.status().regions[0]!.members.map(({ slot }) => slot);
  t.same(occupied(), [1, 2], 'no slot is given to others while its client is there');
  const [status] = await whole.hello('whole');
  t.equal(status, 0, 'who has everything becomes a member');
  const other = await open({ socket, name: 'other' });
  t.equal(other.slot, 3);
  await other.close();
  let messages = 0;
  while (binding.receiveMessage(waiting)) messages++;
  t.equal(binding.receiveMessage(waiting), undefined, `an end after ${messages} messages`);
  closeSync(waiting);
  await until('its slot is free', () => occupied().join() === '1');
  whole.die();
  await until('all are gone', () => occupied().length === 0);
});

t.test('what cannot be taken up is refused, and left as it is', async (t) => {
  const { server, keeper, region } = await start(t);
  const state = keptName(name, 'state');
  const tampered = async (change: (kept: Map<string, number>) => void): Promise<Map<string, number>> => {
    const kept = await duplicates(keeper.kept);
    change(kept);
    return kept;
  };
  const without = (part: string) => (kept: Map<string, number>) => {
    closeSync(kept.get(keptName(name, part))!);
    kept.delete(keptName(name, part));
  };
  const instead = (part: string, fd: number) => (kept: Map<string, number>) => {
    closeSync(kept.get(keptName(name, part))!);
    kept.set(keptName(name, part), fd);
  };
  const before = descriptors();
  const cases: [string, RegExp, object, (kept: Map<string, number>) => void][] = [
    ['another size', /size is 8388608, and was 4194304/, { ...region, size: '8M' }, () => {}],
    ['other slots', /slots is 5, and was 6/, { ...region, slots: 5 }, () => {}],
    ['other vectors', /vectors is 1, and was 2/, { ...region, vectors: 1 }, () => {}],
    ['another region', /no such region/, { ...region, name: 'other' }, () => {}],
    ['no memory', /its memory is missing/, region, without('memory')],
    ['no bell', /its bell.3.1 is missing/, region, without('bell.3.1')],
    [
      'short memory',
      /has 8192 bytes/,
      region,
      instead('memory', binding.createMemfd('x', 8192, false, false)),
    ],
    ['no journal', /journal is empty/, region, instead('state', binding.createMemfd('x', 1, false, false))],
  ];
  for (const [what, message, config, change] of cases) {
    const kept = await tampered(change);
    const error = { code: 'ERR_IVSHMEM_SERVER_STATE', message };
    await t.rejects(createServer({ regions: [config as typeof region] }, { keeper, kept }), error, what);
  }
  await until('all descriptors are closed', () => descriptors() <= before);

  const flipped = await tampered(() => {});
  const byte = Buffer.alloc(1, 0x5a);
  // The original as well: it is one file.
  writeSync(flipped.get(state)!, byte, 0, 1, 200);
  writeSync(flipped.get(state)!, byte, 0, 1, 2 ** 36 + 200);
  await t.rejects(createServer({ regions: [region] }, { keeper, kept: flipped }), {
    code: 'ERR_IVSHMEM_SERVER_STATE',
    message: /the journal entry at byte/,
  });
  await server.close();
});

t.test('a server that died before all was kept', async (t) => {
  const { server, keeper, region } = await start(t);
  const kept = await duplicates(keeper.kept);
  closeSync(kept.get(keptName(name, 'state'))!);
  kept.delete(keptName(name, 'state'));
  await server.close();
  const next = await createServer({ regions: [region] }, { keeper, kept });
  t.equal(next.status().regions[0]!.members.length, 0, 'a fresh region');
  await next.close();
});
