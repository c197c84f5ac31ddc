/**
 * A member of the litmus tests, a process of the host.
 *
 *     litmus-program.ts SOCKET pair SIDE      store buffering and message passing, side 0 or 1
 *     litmus-program.ts SOCKET four ROLE      IRIW and coherence, role 0 to 3
 */
import { openSpace } from '../../../src/dsm/index.ts';
import { open } from '../../../src/index.ts';
import { buffering, passing } from '../../vm/support/litmus.ts';
import { takePart } from './litmus.ts';

const [socket, test, number] = process.argv.slice(2);
await using region = await open({ socket: socket!, name: `${test}-${number}` });
await using space = await openSpace(region, 'litmus', { create: 'never' });
const words = new Int32Array(space.buffer);
if (test === 'four') takePart(words, Number(number));
else {
  buffering(words, Number(number));
  console.log(passing(words, Number(number)));
}
