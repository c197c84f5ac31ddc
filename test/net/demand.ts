/** Who gives channel memory back, who is tried again, and when the timer runs. */
import t, { type Test } from 'tap';
import { Demand } from '../../src/net/demand.ts';
import { until } from '../support/protocol/until.ts';

interface One {
  readonly name: string;
  carried: number;
}

function scene(t: Test, idleMs = 3_600_000) {
  const done: string[] = [];
  const demand = new Demand<One>(
    {
      carried: ({ carried }) => carried,
      rest: ({ name }) => done.push(`rest ${name}`),
      again: ({ name }) => done.push(`again ${name}`),
      shrink: ({ name }) => done.push(`shrink ${name}`),
    },
    idleMs,
  );
  t.teardown(() => demand.stop());
  const one = (name: string): One => ({ name, carried: 0 });
  const tick = (): string => {
    demand.tick();
    return done.splice(0).join(', ');
  };
  return { demand, one, tick, done };
}

t.test('who carries nothing for two ticks rests, who carries anything does not', (t) => {
  const { demand, one, tick } = scene(t);
  const [idle, busy] = [one('idle'), one('busy')];
  demand.holds(idle, false);
  demand.holds(busy, true);
  busy.carried++;
  t.equal(tick(), '');
  busy.carried++;
  t.equal(tick(), 'rest idle');
  demand.lets(idle, false);
  t.same(demand.counts, { held: 1, waiting: 0 });
  t.equal(tick(), '', 'one quiet tick is not enough');
  t.equal(tick(), 'rest busy');
  t.end();
});

t.test('who waits is tried when it carries something, in turn', (t) => {
  const { demand, one, tick } = scene(t);
  const all = Array.from({ length: 20 }, (_, i) => one(`${i}`));
  for (const each of all) demand.waits(each);
  t.equal(tick(), '', 'nobody has anything to carry');
  for (const each of all) each.carried++;
  t.equal(tick(), Array.from({ length: 16 }, (_, i) => `again ${i}`).join(', '));
  for (const each of all) each.carried++;
  t.match(
    tick(),
    /^again 16, again 17, again 18, again 19, again 0,/,
    'those that were not tried come first',
  );
  demand.holds(all[3]!, false);
  demand.lets(all[4]!, true);
  t.same(demand.counts, { held: 1, waiting: 18 });
  t.end();
});

t.test('while somebody waits with something to carry, large channels shrink', (t) => {
  const { demand, one, tick } = scene(t);
  const [large, small, poor] = [one('large'), one('small'), one('poor')];
  demand.holds(large, true);
  demand.holds(small, false);
  demand.waits(poor);
  const carry = (): void => {
    large.carried++;
    small.carried++;
  };
  carry();
  t.equal(tick(), '', 'who waits has nothing to carry');
  carry();
  poor.carried++;
  t.equal(tick(), 'again poor, shrink large');
  poor.carried++;
  t.equal(tick(), 'again poor, shrink large');
  poor.carried++;
  t.equal(tick(), 'rest large, rest small, again poor', 'what rests gives more than what shrinks');
  t.end();
});

t.test(
  'what one gives back is looked for soon, and so is what is behind the first to come over',
  async (t) => {
    const { demand, one, done } = scene(t);
    const [holder, first, second] = [one('holder'), one('first'), one('second')];
    demand.holds(holder, false);
    demand.waits(first);
    demand.waits(second);
    first.carried++;
    demand.lets(holder, true);
    await until('the first', () => done.includes('again first'));
    t.notOk(done.includes('again second'));
    second.carried++;
    demand.holds(first, false);
    await until('the second', () => done.includes('again second'));
  },
);

t.test('the timer runs only while somebody holds or waits, and holds no process', async (t) => {
  const { demand, one, done } = scene(t, 10);
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  const each = one('each');
  demand.holds(each, false);
  t.equal(timers(), before, 'an unreferenced timer');
  await until('it to rest', () => done.includes('rest each'));
  demand.lets(each, true);
  done.length = 0;
  await new Promise((resolve) => setTimeout(resolve, 60));
  t.same(done, [], 'nothing is looked at any more');
  demand.waits(each);
  each.carried++;
  await until('it to be tried', () => done.includes('again each'));
});
