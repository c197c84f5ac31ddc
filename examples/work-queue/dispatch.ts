import { type Channel, open } from 'ivshmem';

// Terminal 1, or the first VM: gives numbered jobs to every worker that connects, each as fast as it answers.
const JOBS = 2000;
const IN_FLIGHT = 8;

await using region = await open({ name: 'dispatcher' });
using listener = await region.listen('jobs');
console.log('waiting for workers');

let next = 0;
let sum = 0;
let answered = 0;
const perWorker: number[] = [];

/** Keeps a few jobs with one worker until none is left. */
async function feed(channel: Channel, worker: number): Promise<void> {
  let waiting = 0;
  perWorker[worker] = 0;
  for (;;) {
    for (; waiting < IN_FLIGHT && next < JOBS; waiting++)
      await channel.write(new Uint8Array(Uint32Array.of(next++).buffer));
    if (waiting === 0) break;
    const answer = await channel.next();
    // A worker that died took its jobs with it; a real dispatcher would give them to another.
    if (answer === null) throw new Error(`worker ${worker} went away`);
    const [job, result] = new Uint32Array(answer.copy().buffer);
    channel.release(answer);
    if (result !== (job! * job!) >>> 0) throw new Error(`job ${job} came back as ${result}`);
    sum += result!;
    waiting--;
    answered++;
    perWorker[worker]!++;
  }
  channel.close();
}

const feeding: Promise<void>[] = [];
for await (const channel of listener) {
  feeding.push(feed(channel, feeding.length));
  if (feeding.length === Number(process.argv[2] ?? 2)) break;
}
await Promise.all(feeding);
console.log(
  `${answered} jobs done by ${feeding.length} workers (${perWorker.join(' + ')}), sum of squares ${sum}`,
);
