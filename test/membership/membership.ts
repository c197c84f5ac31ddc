/** The public face of the membership, over a host that the test plays. */
import t from 'tap';
import { type Change, changesOf, type MembershipEvent } from '../../src/membership/changes.ts';
import { Membership } from '../../src/membership/membership.ts';
import { REASON_EVICTED, STATE_JOINING } from '../../src/memory/membership.ts';
import { membershipWords, ViewWriter } from '../support/view-writer.ts';

function setUp() {
  const { words, place } = membershipWords(8);
  const writer = new ViewWriter(words, place);
  const state = { waiting: 0, closed: 0 };
  const members = new Membership({
    slot: 2,
    get view() {
      return writer.view;
    },
    get records() {
      return writer.records;
    },
    waiting: (change) => {
      state.waiting += change;
    },
    describe: async () => {},
    closed: () => {
      state.closed++;
    },
  });
  const change = (slot: number, make: () => void): readonly Change[] => {
    const before = writer.records[slot] ?? null;
    make();
    return changesOf(slot, before, writer.records[slot]!, writer.view);
  };
  return { writer, members, state, change };
}

t.test('list, get and self are one snapshot of who holds a slot', async (t) => {
  const { writer, members } = setUp();
  writer.join(0, 'server');
  writer.join(1, 'a');
  writer.join(2, 'me');
  writer.connect(3);
  writer.join(4, 'gone');
  writer.leave(4, 1);
  writer.join(5, 'out');
  writer.leave(5, REASON_EVICTED, STATE_JOINING);
  writer.update(1, [
    { type: 'address', text: '10.0.0.1' },
    { type: 'label', text: 'zone=a=b' },
    { type: 'label', text: '__proto__=x' },
    { type: 'listener', text: 'echo' },
  ]);
  const list = members.list();
  t.same(
    list.map(({ slot, name, state }) => [slot, name, state]),
    [
      [1, 'a', 'active'],
      [2, 'me', 'active'],
      [3, '', 'joining'],
      [5, '', 'joining'],
    ],
  );
  const a = members.get('a')!;
  t.match(a, { slot: 1, backend: 'host', pid: 101, addresses: ['10.0.0.1'], listeners: ['echo'] });
  t.equal(a.labels.zone, 'a=b');
  t.equal(Object.getPrototypeOf(a.labels), Object.prototype, 'no label reaches a prototype');
  t.equal(members.get(1), a, 'the same object while nothing changes');
  t.throws(() => Object.assign(a, { name: 'b' }), TypeError);
  t.equal(members.self, members.get('me'));
  for (const nobody of ['gone', 'server', '', 0, 4, 7, 8, -1, 1.5])
    t.equal(members.get(nobody), null, `${nobody}`);
  t.equal(members.view, 9);
});

t.test('a client whose driver left is nobody; the leave still says who that was', async (t) => {
  const { writer, members, change } = setUp();
  const nobody = { name: '', backend: 'unknown', addresses: [], labels: {}, listeners: [] };
  writer.connect(1);
  t.match(members.list(), [{ ...nobody, slot: 1, pid: 101, state: 'joining' }]);
  writer.join(1, 'a');
  writer.update(1, [
    { type: 'address', text: '10.0.0.1' },
    { type: 'label', text: 'k=v' },
    { type: 'listener', text: 'echo' },
  ]);
  const was = members.get('a')!;
  t.match(was, { backend: 'host', addresses: ['10.0.0.1'], labels: { k: 'v' }, listeners: ['echo'] });
  const [left] = change(1, () => writer.leave(1, REASON_EVICTED, STATE_JOINING));
  t.match(left!.event, { type: 'leave', reason: 'evicted', member: was });
  t.strictSame(
    members.list().map((member) => [member.slot, member.pid, member.state]),
    [[1, 101, 'joining']],
  );
  t.match(members.get(1), nobody);
  t.equal(members.get('a'), null);
  // The record that the server keeps of it has the name still.
  t.equal(writer.records[1]!.name, 'a');
});

t.test('listeners are called, and keep the process alive as long as there are any', async (t) => {
  const { writer, members, state, change } = setUp();
  const seen: string[] = [];
  const note = (event: MembershipEvent): void => {
    seen.push(`${event.type}@${event.view}`);
  };
  t.equal(state.waiting, 0, 'having it is not waiting');
  members.on('error', () => {});
  t.equal(state.waiting, 0);
  members.on('join', note);
  members.once('suspect', note);
  members.prependListener('leave', note);
  t.equal(state.waiting, 1);
  members.deliver(change(1, () => writer.join(1)));
  members.deliver(change(1, () => writer.suspect(1)));
  members.deliver(change(1, () => writer.recovered(1)));
  members.deliver(change(1, () => writer.suspect(1)));
  members.deliver(change(1, () => writer.leave(1, 1)));
  t.same(seen, ['join@1', 'suspect@2', 'leave@5']);
  members.off('join', note);
  t.equal(state.waiting, 1);
  members.removeAllListeners();
  t.equal(state.waiting, 0);
  members.on('join', note);
  t.equal(state.waiting, 1, 'it goes on counting');
  members.removeAllListeners('join');
  t.equal(state.waiting, 0);
});

t.test('the exception of a listener leaves, and the others are told all the same', async (t) => {
  const { writer, members, change } = setUp();
  const seen: number[] = [];
  members.on('join', ({ member }) => {
    seen.push(member.slot);
    if (member.slot === 1) throw new Error('mine');
  });
  const changes = [...change(1, () => writer.join(1)), ...change(3, () => writer.join(3))];
  const events = members[Symbol.asyncIterator]();
  t.throws(() => members.deliver(changes), { message: 'mine' });
  t.same(seen, [1, 3]);
  t.equal((await events.next()).value.member.slot, 1);
  await events.return?.();
});

t.test('close: idempotent, ends iterations, takes listeners off', async (t) => {
  const { members, state } = setUp();
  members.on('join', () => {});
  const events = members[Symbol.asyncIterator]();
  const waits = events.next();
  t.equal(state.waiting, 2);
  members.close();
  members.close();
  t.same(state, { waiting: 0, closed: 1 });
  t.equal((await waits).done, true);
  for await (const event of members) t.fail(`${event.type}`);
});

t.test('a table that nobody heals: to iterations, else to error listeners, else a warning', async (t) => {
  const { members } = setUp();
  const events = members[Symbol.asyncIterator]();
  const waits = events.next();
  members.fail(new Error('damaged'));
  await t.rejects(waits, { message: 'damaged' });
  const errors: Error[] = [];
  members.on('error', (error) => errors.push(error));
  members.fail(new Error('again'));
  t.match(errors, [{ message: 'again' }]);
  members.removeAllListeners();
  const warned = new Promise((resolve) => process.once('warning', resolve));
  members.fail(new Error('nobody listens'));
  t.match(await warned, { message: 'nobody listens' });
});
