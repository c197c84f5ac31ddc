/**
 * A member of a spread space that is to be stopped, or to lose its server. Arguments: the server's socket, the space, its size, and
 * - `store FILE`: stores to the first page without a pause, and says in the file when it last could. Ends with SIGSEGV when it may no more.
 * - `acquire`: acquires the first page and lets go of it, again and again, and prints why that ends.
 */
import { openSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { openSpace } from '../../../../src/dsm/index.ts';
import { open } from '../../../../src/index.ts';
import { binding } from '../../../../src/native/binding.ts';

const [socket, name, size, what, file] = process.argv.slice(2) as [string, string, string, string, string?];
const region = await open({ socket, name: what, addresses: [] });
const space = await openSpace(region, name, { size: Number(size), spread: true });
(await space.acquire(0, 1, 'write')).release();
process.stdout.write('ready\n');

if (what === 'store') {
  const said = new BigUint64Array(binding.mapFile(openSync(file!, 'r+'), 0, 4096, true).buffer);
  const view = new Int32Array(space.buffer);
  for (;;) {
    // Of before the store: at that time it was still to be made.
    const time = process.hrtime.bigint();
    Atomics.add(view, 0, 1);
    Atomics.store(said, 0, time);
  }
}
try {
  for (;;) {
    (await space.acquire(0, 1, 'write')).release();
    await delay(10);
  }
} catch (error) {
  process.stdout.write(`${(error as NodeJS.ErrnoException).code}\n`);
}
// The region may wait for a server that is gone.
process.exit();
