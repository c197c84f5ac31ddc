import { open } from 'ivshmem';

// Terminal 2, or the second VM: sends, waits for the answer, and does so many times.
const ROUND_TRIPS = 10_000;

await using region = await open({ name: 'asker' });
using channel = await region.connect('ping-pong');

const start = performance.now();
for (let i = 0; i < ROUND_TRIPS; i++) {
  channel.send(Buffer.from(`ping ${i}`));
  const answer = await channel.next();
  if (answer === null) throw new Error('the other side went away');
  const text = Buffer.from(answer.copy()).toString();
  if (text !== `ping ${i}`) throw new Error(`sent "ping ${i}", got "${text}"`);
  channel.release(answer);
}
const us = ((performance.now() - start) * 1000) / ROUND_TRIPS;
console.log(`${ROUND_TRIPS} round trips through the event loop, ${us.toFixed(1)} us each`);
