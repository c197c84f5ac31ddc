import { NUMBERS, notZero, openNumbers, READY, RESULT } from './space.ts';

// Terminal 3, on host b: adds the numbers up where they are used. Each piece is fetched ahead of its use, many pages in one request.
const PIECE = 1 << 16;
const space = await openNumbers('add');
await notZero(space, READY);

const numbers = new Float64Array(space.buffer, 0, NUMBERS);
let sum = 0;
for (let from = 0; from < NUMBERS; from += PIECE) {
  using _ = await space.acquire(from * 8, PIECE * 8, 'read');
  if (from + PIECE < NUMBERS) space.hint((from + PIECE) * 8, PIECE * 8, 'will-read');
  for (let i = from; i < from + PIECE; i++) sum += numbers[i]!;
}
new Float64Array(space.buffer, RESULT + 8, 1)[0] = sum;
Atomics.store(new Int32Array(space.buffer, RESULT, 1), 0, 1);
const { mapped, readFaults } = space.counts();
console.log(`added ${NUMBERS} numbers; ${mapped} pages were mapped here, ${readFaults} loads waited`);

// A page whose only copy is here stays with the server when this program goes.
process.exit();
