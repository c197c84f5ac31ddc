import t from 'tap';
import { buildNativeTests, lacking, nativeTest, runToEnd } from '../support/native-build.ts';

// Every scenario to its end, and each of the world's mistakes noticed.
t.test(
  'every order of events around the page protocol',
  { skip: lacking('make', 'g++', 'flock') },
  async (t) => {
    await buildNativeTests('build/dsm_model');
    const { code, output } = await runToEnd(nativeTest('dsm_model'), [], 110_000);
    t.equal(code, 0, 'exit status', { output });
    t.equal(output.match(/ complete$/gm)?.length, 14, 'scenarios explored to the end', { output });
    t.equal(output.match(/^mutant-.* violation$/gm)?.length, 5, 'mistakes noticed', { output });
  },
);
