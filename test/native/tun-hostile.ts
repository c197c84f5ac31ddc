import t from 'tap';
import { buildNativeTests, lacking, nativeTest, runToEnd } from '../support/native-build.ts';

t.test('packets of a hostile peer, under asan', { skip: lacking('make', 'g++', 'flock') }, async (t) => {
  await buildNativeTests('build/tun_hostile');
  const { code, output } = await runToEnd(nativeTest('tun_hostile'), ['20000'], 110_000);
  t.equal(code, 0, 'exit status', { output });
  t.match(output, /all as it should be/, 'it came to its end');
});
