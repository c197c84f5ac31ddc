import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { open } from 'ivshmem';
import { connect, counters, setRegion } from 'ivshmem/net';

// Terminal 2: an ordinary client. Its region closes in the middle; the connection does not notice.
const ROUND_TRIPS = 1000;
const region = await open({ name: 'line-client' });
await setRegion(region);

const socket = connect(Number(process.argv[2] ?? 7070), '127.0.0.1');
socket.setEncoding('utf8');
await once(socket, 'connect');

async function ask(count: number): Promise<void> {
  const start = performance.now();
  for (let i = 0; i < count; i++) {
    socket.write(`line ${i}`);
    const [answer] = await once(socket, 'data');
    if (answer !== `LINE ${i}`) throw new Error(`sent "line ${i}", got "${answer}"`);
  }
  const us = ((performance.now() - start) * 1000) / count;
  console.log(`${count} round trips, now by ${socket.path} (${socket.pathReason}), ${us.toFixed(1)} us each`);
}

await ask(10);
for (let i = 0; i < 200 && socket.path === 'tcp'; i++) await delay(10);
await ask(ROUND_TRIPS);
await region.close();
await ask(ROUND_TRIPS);
socket.end();
await once(socket, 'close');
console.log(counters());
