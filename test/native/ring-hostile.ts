import t from 'tap';
import { buildNativeTests, lacking, nativeTest, runToEnd } from '../support/native-build.ts';

// A third thread scribbles over everything the two ends share; they may break, never crash, hang or look elsewhere. The
// program fails by itself when the attack did not reach every kind of check.
for (const [sanitizer, steps] of [
  ['asan', 100_000],
  ['tsan', 20_000],
] as const) {
  t.test(`a hostile partner under ${sanitizer}`, { skip: lacking('make', 'g++', 'flock') }, async (t) => {
    await buildNativeTests(`build/ring_hostile_${sanitizer}`);
    const { code, output } = await runToEnd(
      nativeTest(`ring_hostile_${sanitizer}`),
      [String(steps)],
      110_000,
    );
    t.equal(code, 0, 'exit status', { output });
    t.match(output, /device: indirect table [1-9]/, 'the attack got through');
  });
}
