import t from 'tap';
import { buildNativeTests, lacking, nativeTest, runToEnd } from '../support/native-build.ts';

t.test(
  'bytes of pages, from the socket to the frame',
  { skip: lacking('make', 'g++', 'flock') },
  async (t) => {
    await buildNativeTests('build/hosts_stream_asan');
    const { code, output } = await runToEnd(nativeTest('hosts_stream_asan'), [], 110_000);
    t.equal(code, 0, 'exit status', { output });
    t.equal(output.match(/^ok /gm)?.length, 3, 'all parts', { output });
  },
);
