import t from 'tap';
import { learnWakeUp } from '../../src/membership/wake-up.ts';
import { until } from '../native/fixtures/until.ts';

for (const [bells, title] of [
  [3, 'it expects each bell it rings, three times'],
  [2, 'it ends when there is nothing to ring any more'],
] as const) {
  t.test(title, async (t) => {
    const calls: string[] = [];
    let left: number = bells;
    learnWakeUp({ expectBell: () => calls.push('expect') }, () => {
      calls.push('ring');
      return --left > 0;
    });
    t.same(calls, [], 'not before the member is there');
    await until(() => left === 0);
    t.same(calls, Array.from({ length: bells }, () => ['expect', 'ring']).flat());
  });
}
