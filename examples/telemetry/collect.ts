import { open } from 'ivshmem';

// Terminal 1, or the first VM: a handler called straight from the event loop, reading in place.
await using region = await open({ name: 'collector' });
using listener = await region.listen('telemetry');
console.log('collecting');

const channel = await listener.accept();
if (channel === null) throw new Error('the listener was closed');
let samples = 0;
let last = -1;
let highest = 0;
await new Promise<void>((done) => {
  channel.onEnd(() => done());
  channel.serve((message) => {
    if (message.length === 0) return done();
    const at = message.offset >> 2;
    const sequence = channel.incoming.words[at]!;
    const value = channel.incoming.words[at + 1]!;
    if (sequence <= last) throw new Error(`sample ${sequence} came after ${last}`);
    last = sequence;
    highest = Math.max(highest, value);
    samples++;
  });
});
console.log(`${samples} samples in order, highest value ${highest}`);
channel.close();
