import { open } from 'ivshmem';

// Terminal 2, or another VM: comes, offers something, says that it will go, and goes.
const region = await open({ name: `visitor-${process.pid}`, labels: { role: 'visitor' } });
using listener = await region.listen('visits');
console.log(`${region.name} is in slot ${region.slot} and listens to ${listener.service}`);
await region.drain();
await region.close();
