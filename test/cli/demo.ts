import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Figures } from '../../src/demo/figures.ts';
import { runToEnd } from '../support/native-build.ts';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

t.setTimeout(240_000);

t.test('two processes measure both ways, and leave nothing behind', async (t) => {
  const said = await runToEnd(process.execPath, ['--import', 'tsx', main, 'demo', '--json'], 200_000);
  t.equal(said.code, 0, said.output);
  const lines = said.output.trim().split('\n');
  const [, first, second] = /^Process (\d+) and process (\d+) are members of it\.$/m.exec(said.output)!;
  t.not(first, second);
  for (const pid of [first, second])
    t.throws(() => process.kill(Number(pid), 0), { code: 'ESRCH' }, 'both have ended');
  const figures = JSON.parse(lines.at(-1)!) as Figures[];
  t.strictSame(
    figures.map(({ path }) => path),
    ['shared memory', 'UNIX socket'],
  );
  for (const { rttUs, messagesPerSecond, bytesPerSecond, received } of figures) {
    t.ok(rttUs > 0 && messagesPerSecond > 0 && bytesPerSecond > 0);
    t.ok(received >= 520_000, 'every message of both sizes was received');
  }
});
