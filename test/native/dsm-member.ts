import t from 'tap';
import { buildNativeTests, lacking, nativeTest, runToEnd } from '../support/native-build.ts';

// The service of a member against a node that gives and takes pages all the time, and leases, flushes and
// refreshes by a clock of the test's own. Not under the
// thread sanitizer: for it, a mapping that changes under other threads is a race.
t.test('a member of spread spaces', { skip: lacking('make', 'g++', 'flock') }, async (t) => {
  await buildNativeTests('build/dsm_member_asan');
  const { code, output } = await runToEnd(nativeTest('dsm_member_asan'), ['300'], 110_000);
  t.equal(code, 0, 'exit status', { output });
  t.equal(output.match(/^ok /gm)?.length, 4, 'all parts', { output });
});
