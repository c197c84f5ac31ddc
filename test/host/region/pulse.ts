import t from 'tap';
import { Pulse } from '../../../src/host/region/pulse.ts';
import {
  MEMBER_W,
  OP_GOODBYE,
  OP_SUSPECT,
  STATUS_BAD_REQUEST,
  STATUS_OK,
} from '../../../src/memory/layout.ts';
import { KIND_RECOVERED, KIND_SUSPECT, STATE_ACTIVE, STATE_SUSPECT } from '../../../src/memory/membership.ts';
import { CoreScene } from '../../support/core-scene.ts';
import { until } from '../../support/protocol/until.ts';

/** Members a and b; who is in `answering` answers each pulse as soon as it is sent. */
function scene(): { scene: CoreScene; answering: Set<number>; pulses: () => number; kinds: number[] } {
  const scene = new CoreScene();
  const answering = new Set([1, 2]);
  for (const [i, name] of ['a', 'b'].entries()) {
    scene.connect();
    scene.hello(i + 1, name, 1);
  }
  const { members } = scene.core.tables;
  const send = members.pulse.bind(members);
  members.pulse = (slot, number) => {
    send(slot, number);
    if (answering.has(slot)) scene.words[members.block(slot) + MEMBER_W.pulseAnswer] = number;
  };
  const kinds: number[] = [];
  scene.core.onView(({ kind, slot }) => void (slot === 2 && kinds.push(kind)));
  return { scene, answering, pulses: () => scene.core.counters.pulses, kinds };
}

t.test('a member that gives no sign is suspect until it does', async (t) => {
  const { scene: s, answering, pulses, kinds } = scene();
  t.teardown(() => s.close());
  t.equal(s.ask(1, OP_SUSPECT, -1)[0], STATUS_BAD_REQUEST);
  t.notOk(s.core.pulse.running, 'nobody asked');
  t.equal(pulses(), 0);
  t.equal(s.ask(1, OP_SUSPECT, 40)[0], STATUS_OK);
  t.ok(s.core.pulse.running);
  await until('pulses go out', () => pulses() > 20);
  t.same(kinds, [], 'who answers is not suspect');
  answering.delete(2);
  await until('b is suspect', () => s.slot(2).suspect);
  t.same(kinds, [KIND_SUSPECT]);
  t.equal(s.table().records[2]!.state, STATE_SUSPECT);
  answering.add(2);
  await until('b is back', () => !s.slot(2).suspect);
  t.same(kinds, [KIND_SUSPECT, KIND_RECOVERED]);
  t.equal(s.table().records[2]!.state, STATE_ACTIVE);
});

t.test('a suspect that rings is looked at at once', async (t) => {
  const { scene: s, answering } = scene();
  t.teardown(() => s.close());
  answering.delete(2);
  s.ask(1, OP_SUSPECT, 40);
  await until('b is suspect', () => s.slot(2).suspect);
  const at = s.core.tables.members.block(2);
  s.words[at + MEMBER_W.pulseAnswer] = s.words[at + MEMBER_W.pulse]!;
  s.core.visit(2);
  t.notOk(s.slot(2).suspect);
});

t.test('no pulse without somebody who asks', async (t) => {
  const { scene: s, answering, pulses } = scene();
  t.teardown(() => s.close());
  answering.delete(2);
  s.ask(1, OP_SUSPECT, 1000);
  s.ask(2, OP_SUSPECT, 40);
  await until('b is suspect by its own measure', () => s.slot(2).suspect);
  s.ask(2, OP_SUSPECT, 0);
  s.ask(1, OP_SUSPECT, 0);
  t.notOk(s.core.pulse.running);
  t.notOk(s.slot(2).suspect, 'nobody looks any more');
  s.ask(1, OP_SUSPECT, 40);
  t.ok(s.core.pulse.running);
  s.ask(1, OP_GOODBYE);
  t.notOk(s.core.pulse.running, 'the last who asked is gone');
  const sent = pulses();
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(pulses(), sent);
});

t.test('a pause of the server is nobody else’s', async (t) => {
  const { scene: s, answering, kinds } = scene();
  t.teardown(() => s.close());
  s.ask(1, OP_SUSPECT, 60);
  answering.delete(2);
  const { members } = s.core.tables;
  const send = members.pulse.bind(members);
  const seen: number[][] = [];
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  members.pulse = (slot, number) => {
    seen.push([...kinds]);
    send(slot, number);
  };
  await until('the first tick after the pause', () => seen.length > 0);
  t.same(seen[0], []);
});

t.test('a sample waits for those that answer, and not for ever', async (t) => {
  const { scene: s, answering } = scene();
  t.teardown(() => s.close());
  const { members } = s.core.tables;
  s.words[members.block(1) + MEMBER_W.statistics] = 7;
  s.words[members.block(1) + MEMBER_W.statistics + 3] = 1;
  await s.core.pulse.sample();
  for (const slot of [1, 2])
    t.equal(members.pulseAnswer(slot), s.words[members.block(slot) + MEMBER_W.pulse]);
  t.match(members.statistics(1), { messagesSent: 7n, bytesSent: 1n << 32n, channelsEnded: 0n });
  answering.delete(2);
  await s.core.pulse.sample();
  t.not(members.pulseAnswer(2), s.words[members.block(2) + MEMBER_W.pulse]);
  t.notOk(s.core.pulse.running, 'no timer is left');
  const pulse = new Pulse({
    attached: () => [],
    send: () => t.fail('there is nobody'),
    answer: () => 0,
    suspect: () => {},
  });
  await pulse.sample();
});
