import t from 'tap';
import { buildNativeTests, lacking, nativeTest, runToEnd } from '../support/native-build.ts';

for (const sanitizer of ['asan', 'tsan']) {
  const skip = lacking('make', 'g++', 'flock');
  t.test(`packets of a hostile peer, under ${sanitizer}`, { skip }, async (t) => {
    await buildNativeTests(`build/tun_hostile_${sanitizer}`);
    const { code, output } = await runToEnd(nativeTest(`tun_hostile_${sanitizer}`), ['20000'], 110_000);
    t.equal(code, 0, 'exit status', { output });
    t.match(output, /all as it should be/, 'it came to its end');
  });
}
