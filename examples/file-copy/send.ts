import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'ivshmem';

// Terminal 2, or the second VM: send.ts FILE. `write` waits for room, so a slow receiver slows the reading of the file.
const path = process.argv[2] ?? process.execPath;

await using region = await open({ name: 'sender' });
using channel = await region.connect('file-copy', { dataBytes: 1 << 20 });

const hash = createHash('sha256');
const start = performance.now();
let bytes = 0;
for await (const chunk of createReadStream(path, { highWaterMark: 256 << 10 })) {
  hash.update(chunk);
  if (!(await channel.write(chunk))) throw new Error('the receiver went away');
  bytes += chunk.length;
}
const seconds = (performance.now() - start) / 1000;
console.log(`${bytes} bytes, sha256 ${hash.digest('hex')}, ${(bytes / seconds / 1e6).toFixed(0)} MB/s`);
