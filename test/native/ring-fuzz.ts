import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { buildNativeTests, lacking, nativeTest, runToEnd } from '../support/native-build.ts';

t.test('fixed random programs on arbitrary memory', { skip: lacking('make', 'g++', 'flock') }, async (t) => {
  await buildNativeTests('build/ring_fuzz_asan');
  const { code, output } = await runToEnd(nativeTest('ring_fuzz_asan'), ['30000', '7'], 110_000);
  t.equal(code, 0, 'exit status', { output });
  t.match(output, /^30000 runs$/m, 'it ran them all');
});

/** Why libFuzzer cannot be used: clang comes without its fuzzer unless the runtime package is there too. */
async function noFuzzer(): Promise<string | false> {
  const missing = lacking('make', 'clang++', 'flock');
  if (missing) return missing;
  const probe = ['-c', 'echo | clang++ -fsanitize=fuzzer,address -x c++ -shared -o /dev/null -'];
  return (await runToEnd('sh', probe, 60_000)).code !== 0 && 'clang++ has no libFuzzer (libclang-rt-*-dev)';
}

t.test('coverage-guided programs on arbitrary memory', { skip: await noFuzzer() }, async (t) => {
  await buildNativeTests('fuzz');
  // Its own directory: on a finding it writes the input there, and prints it.
  const directory = mkdtempSync(join(tmpdir(), 'ivshmem-fuzz-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const args = ['-runs=100000', '-seed=1', '-max_len=1024', '-len_control=0', '-timeout=20'];
  const { code, output } = await runToEnd(nativeTest('ring_fuzz'), args, 110_000, directory);
  t.equal(code, 0, 'exit status', { output: output.slice(-5000) });
  t.match(output.slice(-200), /Done 100000 runs/, 'it ran them all');
});
