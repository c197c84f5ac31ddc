import { createHash } from 'node:crypto';
import { open } from 'ivshmem';

// Terminal 1, or the first VM: receives a file of any size through a ring of 1 MiB and prints its SHA-256.
await using region = await open({ name: 'receiver' });
using listener = await region.listen('file-copy');
console.log('waiting for a file');

const channel = await listener.accept();
if (channel === null) throw new Error('the listener was closed');
const hash = createHash('sha256');
let bytes = 0;
for await (const message of channel) {
  // Hashing the lent view reads shared memory once and copies nothing.
  for (const segment of message.segments) hash.update(segment);
  bytes += message.length;
}
console.log(`${bytes} bytes, sha256 ${hash.digest('hex')}`);
channel.close();
