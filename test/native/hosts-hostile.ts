import t from 'tap';
import { buildNativeTests, lacking, nativeTest, runToEnd } from '../support/native-build.ts';

// Peers and members that say anything. The program fails by itself when the attack did not get through to the checks.
for (const [sanitizer, rounds] of [
  ['asan', 20],
  ['tsan', 2],
] as const) {
  t.test(
    `hostile nodes and members under ${sanitizer}`,
    { skip: lacking('make', 'g++', 'flock') },
    async (t) => {
      await buildNativeTests(`build/hosts_hostile_${sanitizer}`);
      const { code, output } = await runToEnd(
        nativeTest(`hosts_hostile_${sanitizer}`),
        [String(rounds)],
        110_000,
      );
      t.equal(code, 0, 'exit status', { output });
      t.equal(output.match(/^ok /gm)?.length, 4, 'all parts', { output });
    },
  );
}
