import t from 'tap';
import { buildNativeTests, lacking, nativeTest, runToEnd } from '../support/native-build.ts';

for (const sanitizer of ['asan', 'tsan']) {
  t.test(
    `faults in protected memory, under ${sanitizer}`,
    { skip: lacking('make', 'g++', 'flock') },
    async (t) => {
      await buildNativeTests(`build/dsm_fault_${sanitizer}`);
      const { code, output } = await runToEnd(nativeTest(`dsm_fault_${sanitizer}`), [], 110_000);
      t.equal(code, 0, 'exit status', { output });
      t.match(output, /ok {5}crash in place/, 'it came to its end', { output });
    },
  );
}
