/** What is watched may go and come: the folder of the server's socket does with its service. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { watchDevices } from '../../src/net/device-watch.ts';
import { until } from '../support/protocol/until.ts';
import { testFolder } from '../support/test-folder.ts';

t.test('a folder that is made anew is watched as the first was', async (t) => {
  const folder = join(testFolder(t), 'run');
  mkdirSync(folder);
  let told = 0;
  const stop = watchDevices(join(folder, 'default.sock'), () => told++);
  t.teardown(stop);
  writeFileSync(join(folder, 'one'), '');
  await until('the first file', () => told > 0);
  for (let i = 0; i < 3; i++) {
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
    const before = told;
    await until('the folder', () => told > before);
    // What was told of the change itself is over.
    await new Promise(setImmediate);
    const now = told;
    writeFileSync(join(folder, `socket${i}`), '');
    await until('a file of the new one', () => told > now);
  }
});
