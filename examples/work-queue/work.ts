import { open } from 'ivshmem';

// Terminals 2 and 3, or more VMs: squares numbers.
await using region = await open();
using channel = await region.connect('jobs', { peer: 'dispatcher', queueSize: 32, dataBytes: 16 << 10 });

let jobs = 0;
for await (const message of channel) {
  const [job] = new Uint32Array(message.copy().buffer);
  const answer = Uint32Array.of(job!, job! * job!);
  if (!(await channel.write(new Uint8Array(answer.buffer)))) break;
  jobs++;
}
console.log(`did ${jobs} jobs`);
