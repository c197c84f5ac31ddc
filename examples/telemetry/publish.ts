import { open } from 'ivshmem';

// Terminal 2, or the second VM: samples written straight into shared memory, no copy, no garbage. When the reader is behind,
// new samples are dropped and counted: back-pressure is a value, not a wait.
const SAMPLES = 100_000;
const SAMPLE_BYTES = 64;

await using region = await open({ name: 'sensor' });
using channel = await region.connect('telemetry');

let dropped = 0;
for (let i = 0; i < SAMPLES; i++) {
  const room = channel.reserve(SAMPLE_BYTES);
  if (room === null) {
    dropped++;
    // Let the event loop run: this process has other work, too.
    await channel.writable(SAMPLE_BYTES);
    continue;
  }
  const at = room.offset >> 2;
  channel.outgoing.words[at] = i;
  channel.outgoing.words[at + 1] = Math.round(Math.sin(i / 100) * 1000);
  channel.commit();
}
console.log(`${SAMPLES - dropped} samples sent, ${dropped} dropped`);
// An empty message ends the series.
await channel.write(new Uint8Array(0));
