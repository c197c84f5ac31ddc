import t from 'tap';
import { buildNativeTests, lacking, nativeTest, runToEnd } from '../support/native-build.ts';

// The C++ rings under the address and undefined-behaviour sanitizers.
t.test('units of the C++ rings', { skip: lacking('make', 'g++', 'flock') }, async (t) => {
  await buildNativeTests('build/ring_unit');
  const { code, output } = await runToEnd(nativeTest('ring_unit'), [], 60_000);
  t.equal(code, 0, 'exit status', { output });
  t.match(output, /9 groups passed/, 'it ran them all');
});
