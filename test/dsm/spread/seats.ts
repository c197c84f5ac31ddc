/** Who takes part in the synchronization of a spread space, without hosts: calls go through a table, and can be lost. */
import t, { type Test } from 'tap';
import { attachmentOf } from '../../../src/channel/attachments.ts';
import { SPREAD } from '../../../src/dsm/spread/layout.ts';
import { LOCKS_BYTES, Locks } from '../../../src/dsm/spread/locks.ts';
import { locksName } from '../../../src/dsm/spread/locks-name.ts';
import { SpreadMapping } from '../../../src/dsm/spread/mapping.ts';
import { type Calls, Seats } from '../../../src/dsm/spread/seats.ts';
import { NO_EXCHANGE } from '../../../src/dsm/sync/exchange.ts';
import { SEATS } from '../../../src/dsm/sync/layout.ts';
import { Synchronization } from '../../../src/dsm/sync/synchronization.ts';
import { until } from '../../support/protocol/until.ts';
import { serveSpread } from '../support/spread-member.ts';

/** The nodes of all hosts. */
class Hosts {
  readonly system = new ArrayBuffer(LOCKS_BYTES);
  readonly parties = new Map<number, (gone: number) => void>();
  lost = false;
  asked = 0;

  calls(party: number): Calls {
    const hosts = this;
    let heard: (gone: number) => void = () => {};
    const tell = (gone: number) => setImmediate(() => heard(gone));
    this.parties.set(party, tell);
    return {
      party,
      call(other, ask) {
        if (ask) hosts.asked++;
        if (hosts.lost) return;
        const there = hosts.parties.get(other);
        if (there === undefined) tell(other);
        else if (!ask) there(0);
      },
      onCalled(callback) {
        heard = callback;
        return () => {
          heard = () => {};
        };
      },
    };
  }
}

const partyOf = (node: number, slot: number, opened: number): number =>
  (node * 256 + slot) * 2 ** 32 + opened;

function join(t: Test, hosts: Hosts, party: number, lookAgainMs = 20) {
  const seats = new Seats(hosts.system, hosts.calls(party));
  const memory = { system: hosts.system, buffer: hosts.system, party: seats };
  const sync = new Synchronization(memory, () => {}, lookAgainMs);
  const close = (): void => {
    sync.close();
    seats.close();
    hosts.parties.delete(party);
  };
  t.teardown(close);
  return { seats, sync, close, die: () => hosts.parties.delete(party) };
}

t.test('parties of several hosts lock and wake each other, and the dead are found', async (t) => {
  const hosts = new Hosts();
  const a = join(t, hosts, partyOf(0, 3, 0xffffffff));
  const b = join(t, hosts, partyOf(63, 3, 1));
  t.not(a.seats.slot, b.seats.slot, 'the same slot of two hosts has two seats');
  const held = await a.sync.mutex('m').lock();
  const next = b.sync.mutex('m').lock();
  held.release();
  const second = await next;
  t.equal(second.abandoned, false);
  const third = a.sync.mutex('m').lock();
  b.die();
  t.equal((await third).abandoned, true, 'nobody told: it was asked for');
  const c = join(t, hosts, partyOf(63, 3, 2));
  t.equal(c.seats.slot, b.seats.slot, 'the seat is free again');
  t.equal(c.sync.mutex('m').tryLock(), false, 'and the successor has nothing of it');
});

t.test('calls that are lost are made again', async (t) => {
  const hosts = new Hosts();
  const a = join(t, hosts, partyOf(0, 1, 5));
  const b = join(t, hosts, partyOf(1, 1, 6));
  const held = await b.sync.mutex('m').lock();
  hosts.lost = true;
  const next = a.sync.mutex('m').lock();
  held.release();
  t.equal((await next).abandoned, false, 'who waits looks again by itself');
  const asked = hosts.asked;
  const third = b.sync.mutex('m').lock();
  a.die();
  while (hosts.asked < asked + 2) await new Promise((resolve) => setTimeout(resolve, 5));
  hosts.lost = false;
  t.equal((await third).abandoned, true);
});

t.test('when all seats are taken, those of the dead are free the next time', async (t) => {
  const hosts = new Hosts();
  const words = new BigInt64Array(hosts.system, 2048 * 4, SEATS);
  for (let seat = 1; seat < SEATS; seat++) words[seat] = BigInt(partyOf(2, 9, seat));
  const calls = hosts.calls(partyOf(0, 1, 7));
  t.throws(() => new Seats(hosts.system, calls), { code: 'ERR_IVSHMEM_SPREAD_SEATS' });
  // Nobody listened any more to what was asked: whoever comes next asks again, and stays to hear.
  words[9] = 0n;
  const one = join(t, hosts, partyOf(0, 1, 8));
  t.equal(one.seats.slot, 9);
  while (words.some((party, seat) => party !== 0n && seat !== 9))
    await new Promise((resolve) => setImmediate(resolve));
  one.close();
  t.ok(words.every((party) => party === 0n));
});

t.test('nonsense in the seats is nobody', async (t) => {
  const hosts = new Hosts();
  const words = new BigInt64Array(hosts.system, 2048 * 4, SEATS);
  words.fill(-1n, 2);
  const one = join(t, hosts, partyOf(0, 1, 7));
  t.equal(one.seats.slot, 1);
  t.equal(one.seats.alive(2, 5), false);
  t.equal(one.seats.alive(-1, 5), false);
  t.equal(one.seats.alive(1 << 20, 0), false);
  one.seats.notify(999);
});

t.test('names of the spaces with the locks fit, and differ', async (t) => {
  const long = 'é'.repeat(32);
  t.equal(locksName('m'), 'm (locks)');
  for (const name of [long, 'x'.repeat(64), 'x'.repeat(63)]) {
    t.ok(Buffer.byteLength(locksName(name)) <= 64);
    t.notOk(locksName(name).includes('\ufffd'));
  }
  t.not(locksName('x'.repeat(64)), locksName('x'.repeat(63)));
});

t.test('a page that is lost is an error for everybody, and nothing is taken any more', async (t) => {
  const { served, node } = await serveSpread(t, { size: LOCKS_BYTES });
  const region = await served.join('m');
  const mapping = await SpreadMapping.open(attachmentOf(region), 'open', { ...node.place, whole: true });
  // The node is in this thread: no access may have to wait for it.
  node.onFault = (fault) => node.grant({ ...fault, write: true });
  let waits = 0;
  const locks = await Locks.open('open', {
    name: 's',
    mapping,
    exchange: NO_EXCHANGE,
    release: async () => mapping.close(),
    shut: () => mapping.close(),
    waiting: (change) => {
      waits += change;
    },
  });
  const { synchronization: sync } = locks;
  const mutex = sync.mutex('m');
  (await mutex.lock()).release();
  const counter = sync.counter('c');
  const waiting = counter.reach(5);
  const other = sync.mutex('held');
  const held = await other.lock();
  t.equal(waits, 1);
  void node.order(region.slot, { op: SPREAD.opFail, page: 9, count: 1, right: 1, frame: 0 });
  // Without a turn of the event loop that would hear of it: the memory goes while this looks.
  const failure = (() => {
    for (;;) {
      try {
        if (mutex.tryLock()) mutex.unlock();
      } catch (error) {
        return error;
      }
    }
  })();
  const gone = { code: 'ERR_IVSHMEM_SYNC_GONE', message: /page 9 of the space/ };
  t.match(failure, gone, 'never taken where nobody else sees it');
  await t.rejects(mutex.lock(), { code: 'ERR_IVSHMEM_SYNC_GONE' });
  t.throws(() => sync.barrier('b', { parties: 2 }), { code: 'ERR_IVSHMEM_SYNC_GONE' });
  t.throws(() => held.release(), { code: 'ERR_IVSHMEM_SYNC_GONE' });
  await t.rejects(waiting, gone);
  t.equal(waits, 0);
  await locks.close();
});

t.test('no page is taken from the others that is only looked at', async (t) => {
  const { served, node } = await serveSpread(t, { size: LOCKS_BYTES });
  const members = await Promise.all(
    ['m', 'n'].map(async (name) => {
      const region = await served.join(name);
      const place = { ...node.place, whole: true };
      const mapping = await SpreadMapping.open(attachmentOf(region), 'open', place);
      const { slot } = region;
      const open = (): Promise<Locks> =>
        Locks.open('open', {
          name: 's',
          mapping,
          exchange: NO_EXCHANGE,
          release: async () => mapping.close(),
          shut: () => mapping.close(),
          waiting: () => {},
        });
      return { slot, mapping, open };
    }),
  );
  const [one, two] = members as [(typeof members)[0], (typeof members)[0]];
  const written = (from: number): number[] =>
    node.faults.slice(from).flatMap(({ page, count, write }) => (write ? [page, count] : []));
  const first = await one.open();
  t.same(written(0), [0, 1, 2, 1], 'to open it: the lives and the seats');
  // The node is in this thread: no access may have to wait for it.
  node.onFault = (fault) => node.grant({ ...fault, write: true });
  for (const { mapping } of members) (await mapping.acquire('have all', 0, LOCKS_BYTES, 'write')).release();
  const second = await two.open();
  const held = await first.synchronization.mutex('m').lock();
  const next = second.synchronization.mutex('m').lock();
  await node.restrict(two.slot, 8, 1, 1);
  const [before, asked] = [node.faults.length, node.asked];
  await until('it has looked again', () => node.asked > asked + 2);
  t.same(written(before), [], 'to wait: nothing more');
  held.release();
  (await next).release();
  t.same(written(before), [8, 1], 'until there is something to be had');
  await Promise.all([first.close(), second.close()]);
});
