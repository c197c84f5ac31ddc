import t from 'tap';
import { buildNativeTests, lacking, nativeTest, runToEnd } from '../support/native-build.ts';

// Every scenario to its end, and each mistake noticed.
t.test(
  'every order of events around the protocol of release consistency',
  { skip: lacking('make', 'g++', 'flock') },
  async (t) => {
    await buildNativeTests('build/release_model');
    const { code, output } = await runToEnd(nativeTest('release_model'), [], 110_000);
    t.equal(code, 0, 'exit status', { output });
    t.equal(output.match(/ complete$/gm)?.length, 24, 'scenarios explored to the end', { output });
    t.equal(output.match(/^mutant-.* violation$/gm)?.length, 12, 'mistakes noticed', { output });
  },
);
