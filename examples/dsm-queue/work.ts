import { open } from 'ivshmem';
import { openSpace } from 'ivshmem/dsm';
import { queueIn } from './queue.ts';

// Terminals 2 and 3, or more VMs: takes jobs out of the queue, one at a time.
await using region = await open();
await using space = await openSpace(region, 'jobs', { create: 'never' });
await space.counter('queue made').reach(1);
const { take, queue } = queueIn(space);
const me = Number(space.counter('workers').add()) - 1;
const done = space.counter('jobs done');

let sum = 0;
let jobs = 0;
for (let job = await take(); job !== null; job = await take()) {
  if (job.name !== `job ${job.id}`) throw new Error(`job ${job.id} is called ${job.name}`);
  sum += job.size;
  jobs++;
  // A word of this worker alone: no lock.
  queue.done.set(me, jobs);
  done.add();
}
space.counter('workers gone').add();
console.log(`did ${jobs} jobs of size ${sum} in all`);
