import { open } from 'ivshmem';
import { openSpace } from 'ivshmem/dsm';
import { queueIn } from './queue.ts';

// Terminal 1, or the first VM: puts jobs into a queue that lies in shared memory, and waits until they are done.
const JOBS = 500;

await using region = await open();
await using space = await openSpace(region, 'jobs', { size: 1 << 20, create: 'always' });
const { push, close, queue } = queueIn(space);
const done = space.counter('jobs done');
// Whoever sees this word finds the queue made.
space.counter('queue made').add();
console.log('there is a queue');

for (let id = 1; id <= JOBS; id++) await push(id, `job ${id}`, (id * 7919) % 1000);
await done.reach(JOBS);
await close();
// Workers need the space to find that the queue is closed.
await space.counter('workers gone').reach(Number(process.argv[2] ?? 2));
const shares = [...queue.done].filter((count) => count > 0);
const { usedBlocks } = space.heap().check();
console.log(
  `${shares.reduce((sum, n) => sum + n, 0)} jobs done (${shares.join(' + ')}), ${queue.waiting} waiting`,
);
console.log(`${usedBlocks} piece of the heap in use`);
