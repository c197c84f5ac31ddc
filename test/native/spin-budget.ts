import t from 'tap';
import { buildNativeTests, lacking, nativeTest, runToEnd } from '../support/native-build.ts';

t.test('how long spins may be', { skip: lacking('make', 'g++', 'flock') }, async (t) => {
  await buildNativeTests('build/spin_budget_asan');
  const { code, output } = await runToEnd(nativeTest('spin_budget_asan'), [], 60_000);
  t.equal(code, 0, 'exit status', { output });
  t.match(output, /all as it should be/);
});
