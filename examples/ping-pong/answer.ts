import { open } from 'ivshmem';

// Terminal 1, or the first VM: answers every message with the same bytes.
await using region = await open({ name: 'answerer' });
using listener = await region.listen('ping-pong');
console.log(`listening in region "${region.header.name}", slot ${region.slot}`);

const channel = await listener.accept();
if (channel === null) throw new Error('the listener was closed');
for await (const message of channel) {
  // The message is lent: its bytes are shared memory until the next turn of the loop.
  while (!channel.send(message.bytes)) if (!(await channel.writable(message.length))) break;
}
console.log('the other side closed the channel');
channel.close();
