import t, { type Test } from 'tap';
import { until } from '../../support/protocol/until.ts';
import type { Fault, NodeDouble } from '../support/node-double.ts';
import { SpreadMember, serveSpread } from '../support/spread-member.ts';

const LIMIT = { timeout: 100_000 };
const ROUNDS = 60;

const words = (node: NodeDouble, page: number): Int32Array => {
  const bytes = node.bytes(page);
  return new Int32Array(bytes.buffer, bytes.byteOffset, 1024);
};

/** Faults on a page wait until they are given, one after the other. */
class Gate {
  readonly #node: NodeDouble;
  readonly #waiting: Fault[] = [];

  constructor(node: NodeDouble, page: number) {
    this.#node = node;
    node.onFault = (fault) => {
      if (fault.page === page) this.#waiting.push(fault);
      else node.grant(fault);
    };
  }

  find(slot: number): Fault | undefined {
    return this.#waiting.find((fault) => fault.slot === slot);
  }

  /** Until it may store: a plain addition asks to read first. */
  async pass(slot: number): Promise<void> {
    for (let stores = false; !stores; ) {
      await until('a fault', () => this.find(slot) !== undefined, 60);
      const fault = this.find(slot)!;
      this.#waiting.splice(this.#waiting.indexOf(fault), 1);
      stores = fault.write;
      this.#node.grant(fault);
    }
  }
}

t.test('a page is taken away while it is stored to: no store is lost, none comes later', LIMIT, async (t) => {
  const { served, node } = await serveSpread(t);
  const member = await SpreadMember.start(t, served.socket, node.place);
  const { slot } = member;
  await member.run('load', 1);
  const gate = new Gate(node, 0);
  const counter = words(node, 0);
  const added = member.run('addUntil', 0, 1);
  await gate.pass(slot);
  for (let round = 0; round < ROUNDS; round++) {
    const right = round % 2 === 0 ? 0 : 1;
    const before = Atomics.load(counter, 0);
    await until('stores', () => Atomics.load(counter, 0) !== before, 60);
    await node.restrict(slot, 0, 1, right);
    const seen = Atomics.load(counter, 0);
    await until('it to wait', () => gate.find(slot) !== undefined, 60);
    t.equal(Atomics.load(counter, 0), seen, 'no store after the acknowledgement');
    await gate.pass(slot);
  }
  Atomics.store(words(node, 1), 0, 1);
  const times = await added;
  t.equal(times > 0, true);
  t.equal(await member.run('load', 0), times | 0);
  t.equal(Atomics.load(counter, 0), times | 0);
});

t.test('the same of atomic additions', LIMIT, async (t) => {
  const { served, node } = await serveSpread(t);
  const member = await SpreadMember.start(t, served.socket, node.place);
  await member.run('load', 1);
  const gate = new Gate(node, 0);
  const counter = words(node, 0);
  const added = member.run('addAtomicUntil', 0, 1);
  await gate.pass(member.slot);
  for (let round = 0; round < ROUNDS; round++) {
    await node.restrict(member.slot, 0, 1, round % 2 === 0 ? 0 : 1);
    const seen = Atomics.load(counter, 0);
    await until('it to wait', () => gate.find(member.slot) !== undefined, 60);
    t.equal(Atomics.load(counter, 0), seen, 'no store after the acknowledgement');
    await gate.pass(member.slot);
  }
  Atomics.store(words(node, 1), 0, 1);
  t.equal((await added) | 0, Atomics.load(counter, 0));
});

t.test('two members add to one word of a page that both lose all the time', LIMIT, async (t) => {
  const { served, node } = await serveSpread(t);
  const members = [
    await SpreadMember.start(t, served.socket, node.place),
    await SpreadMember.start(t, served.socket, node.place),
  ];
  for (const member of members) await member.run('load', 1);
  const added = members.map((member) => member.run('addAtomicUntil', 0, 1));
  for (let round = 0; round < ROUNDS; round++) {
    const before = node.faults.length;
    await Promise.all(members.map(({ slot }) => node.restrict(slot, 0, 1, 0)));
    await until('both to come back', () => node.faults.length >= before + 2, 60);
  }
  Atomics.store(words(node, 1), 0, 1);
  const [a, b] = (await Promise.all(added)) as [number, number];
  t.equal(Atomics.load(words(node, 0), 0), (a + b) | 0);
});

t.test('pins', LIMIT, async (t) => {
  const { served, node } = await serveSpread(t);
  const member = await SpreadMember.start(t, served.socket, { ...node.place, pinMs: 600_000 });
  const { slot } = member;
  await t.rejects(member.run('read', 0, 5000), { code: 'EFAULT' }, 'a system call does not wait');
  await member.run('acquire', 1, 100, 3 * 4096, 'write');
  t.same(node.faults, [{ slot, page: 0, count: 4, write: true }], 'all at once');
  t.equal(await member.run('read', 100, 3 * 4096), 3 * 4096);
  t.equal(node.memory[100], 0x61);
  await member.run('store', 50, 1);
  let taken = false;
  const restricted = node.restrict(slot, 2, 1, 0).then(() => {
    taken = true;
  });
  const other = node.restrict(slot, 50, 1, 0);
  await until('it to be put off', async () => (await member.run('counts')).deferred === 1, 60);
  const before = node.faults.length;
  // What is put off does not hold up those behind it: once they are done, a store misses its page.
  const misses = async (): Promise<boolean> => {
    await member.run('store', 50, 2);
    return node.faults.length > before;
  };
  await until('an order for another page to be done meanwhile', misses, 60);
  t.equal(node.faults.length, before + 1);
  await member.run('store', 2, 7);
  t.equal(node.faults.length, before + 1, 'the pinned one is still here');
  t.equal(taken, false);
  t.equal(await member.run('release', 1), true);
  await Promise.all([restricted, other]);
  t.equal(await member.run('release', 1), false, 'once');
  await member.run('store', 2, 8);
  t.equal(node.faults.length, before + 2);
  // What is only read may be taken away to be read.
  await member.run('acquire', 2, 0, 10, 'read');
  await node.restrict(slot, 0, 1, 1);
  t.match(await member.run('counts'), { deferred: 1, forced: 0 });
  t.equal(await member.run('release', 2), true);
});

t.test('a pin that others wait for too long', LIMIT, async (t) => {
  const { served, node } = await serveSpread(t);
  const member = await SpreadMember.start(t, served.socket, { ...node.place, pinMs: 20 });
  await member.run('acquire', 1, 0, 8192, 'write');
  await node.restrict(member.slot, 1, 1, 0);
  t.match(await member.run('counts'), { deferred: 1, forced: 1 });
  t.equal(await member.run('release', 1), false);
  await member.run('store', 1, 3);
  t.equal(words(node, 1)[0], 3, 'the page comes back as any other');
});

t.test('an acquisition goes on while pages that it has are taken away', LIMIT, async (t) => {
  const { served, node } = await serveSpread(t);
  const member = await SpreadMember.start(t, served.socket, { ...node.place, pinMs: 600_000 });
  const kept: Fault[] = [];
  node.onFault = (fault) => {
    // The first page comes last.
    if (fault.page > 0) return node.grant(fault);
    kept.push({ ...fault, count: 1 });
    if (fault.count > 1) node.grant({ ...fault, page: 1, count: fault.count - 1 });
  };
  await member.run('begin', 1, 0, 4 * 4096, 'write');
  await until('the others to be there', async () => (await member.run('counts')).mapped === 3, 60);
  await node.restrict(member.slot, 2, 1, 0);
  node.grant(kept[0]!);
  await member.run('begun', 1);
  t.equal((await member.run('counts')).mapped, 5, 'it came again');
  t.equal(await member.run('release', 1), true);
});

t.test('hints', LIMIT, async (t: Test) => {
  const { served, node } = await serveSpread(t);
  const member = await SpreadMember.start(t, served.socket, node.place);
  await member.run('hint', 4096, 10 * 4096, 'will-read');
  for (let page = 1; page <= 10; page++) await member.run('load', page);
  t.same(node.faults, [{ slot: member.slot, page: 1, count: 10, write: false }]);
  await member.run('hint', 4096, 4096, 'dont-need');
  await member.run('load', 1);
  await member.run('load', 2);
  t.equal(node.faults.length, 2);
  t.same(await member.run('flush'), null);
});
