import t from 'tap';
import { buildNativeTests, lacking, nativeTest, runToEnd } from '../support/native-build.ts';

// Three hosts in one process, real faults: no outcome that sequential consistency forbids.
for (const sanitizer of ['asan', 'tsan']) {
  t.test(`memory over hosts, under ${sanitizer}`, { skip: lacking('make', 'g++', 'flock') }, async (t) => {
    await buildNativeTests(`build/dsm_litmus_${sanitizer}`);
    const { code, output } = await runToEnd(
      nativeTest(`dsm_litmus_${sanitizer}`),
      ['1', '50', '200'],
      110_000,
    );
    t.equal(code, 0, 'exit status', { output });
    t.equal(output.match(/ 0 forbidden;/g)?.length, 4, 'litmus tests', { output });
    t.match(output, /: consistent/, 'the random history', { output });
  });
}
