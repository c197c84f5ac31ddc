import { NUMBERS, notZero, openNumbers, READY, RESULT } from './space.ts';

// Terminal 2, on host a: writes a million numbers and has them added up on the other host.
const space = await openNumbers('write');
const numbers = new Float64Array(space.buffer, 0, NUMBERS);
for (let i = 0; i < NUMBERS; i++) numbers[i] = i;
// Whoever sees this sees all that was stored before.
Atomics.store(new Int32Array(space.buffer, READY, 1), 0, 1);
console.log(`wrote ${NUMBERS} numbers`);

await notZero(space, RESULT);
console.log(`their sum is ${new Float64Array(space.buffer, RESULT + 8, 1)[0]}`);
process.exit(); // The region is left on the way out.
