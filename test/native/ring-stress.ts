import t from 'tap';
import { buildNativeTests, lacking, nativeTest, runToEnd } from '../support/native-build.ts';

// Driver and device on two threads: chains, tables, batches; polling, and asleep on eventfds by event suppression.
for (const sanitizer of ['asan', 'tsan']) {
  t.test(`two threads under ${sanitizer}`, { skip: lacking('make', 'g++', 'flock') }, async (t) => {
    await buildNativeTests(`build/ring_stress_${sanitizer}`);
    const { code, output } = await runToEnd(nativeTest(`ring_stress_${sanitizer}`), ['4000'], 110_000);
    t.equal(code, 0, 'exit status', { output });
    t.equal(output.match(/: 4000 buffers/g)?.length, 10, 'runs', { output });
  });
}

t.test('no wake-up is lost between the two ends', { skip: lacking('make', 'g++', 'flock') }, async (t) => {
  await buildNativeTests('build/ring_fence');
  const { code, output } = await runToEnd(nativeTest('ring_fence'), ['200000'], 110_000);
  t.equal(code, 0, 'exit status', { output });
  t.match(output, /200000 rounds, 0 wake-ups lost/, 'it ran them all');
});
