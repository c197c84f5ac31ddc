import type { Test } from 'tap';

/**
 * A folder that is empty when it is asked for and removed after everything else of `t` was torn down. `t.testdir` by itself is removed
 * before the teardowns that are registered after it: under the feet of servers that still write there, which then are never closed.
 */
export function testFolder(t: Test): string {
  // What is torn down runs before whatever wraps the end later, which `testdir` does.
  t.teardown(() => {});
  return t.testdir({});
}
