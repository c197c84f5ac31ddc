import t from 'tap';
import { testSeed } from './support/random.ts';
import { soak } from './support/soak/soak.ts';

t.test('members come and go by the hundred: nothing stays behind, nobody who stays is harmed', async (t) => {
  const seed = testSeed();
  const result = await soak(t, { cycles: 300, kills: 2, seconds: 100, seed, log: (line) => t.comment(line) });
  t.same(result.faults, [], `seed ${seed}`);
  t.ok(result.joined >= 300, `${result.joined} members joined`);
  t.ok(result.killed > 0 && result.rounds > 0, JSON.stringify(result));
});
