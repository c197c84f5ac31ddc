/**
 * A member that works in a space. One JSON line on stdout per result.
 *   dsm count NAME ROUNDS    adds to a plain word under a mutex
 *   dsm hold NAME            takes the mutex and keeps it until killed
 *   dsm litmus NAME SIDE     store buffering and message passing with the other side (0 or 1)
 *   dsm four NAME ROLE       IRIW and coherence with three others (0 to 3)
 */
import { openSpace } from '../../../src/dsm/index.ts';
import { open } from '../../../src/index.ts';
import { takePart } from '../../dsm/support/litmus.ts';
import { buffering, passing, WORK } from '../support/litmus.ts';

const [command, name = 'member', argument] = process.argv.slice(2);
const say = (what: object): void => console.log(JSON.stringify(what));

await using region = await open({ name });
await using space = await openSpace(region, 'work', { create: 'never' });
const words = new Int32Array(space.buffer);
const mutex = space.mutex('count');
if (command === 'count') {
  say({ begins: true });
  for (let round = 0; round < Number(argument); round++) {
    using _ = await mutex.lock();
    words[WORK.total]!++;
  }
  say({ counted: Number(argument) });
} else if (command === 'hold') {
  await mutex.lock();
  say({ holds: true });
  setInterval(() => {}, 1000);
  await new Promise(() => {});
} else if (command === 'four') {
  await using litmus = await openSpace(region, 'litmus', { create: 'never' });
  takePart(new Int32Array(litmus.buffer), Number(argument));
  say({ took: 'part' });
} else {
  const side = Number(argument);
  buffering(words, side);
  say({ wrong: passing(words, side) });
}
