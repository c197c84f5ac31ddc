/**
 * A member that sleeps unless it is rung: `sleeper SOCKET`. Nothing else turns its event loop, which would have it look around. It
 * says on stdout who leaves, how its channels end, and what it gets.
 */
import { type Channel, interrupt, open } from '../../src/index.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const region = await open({ socket: process.argv[2]!, name: 'sleeper', wait: interrupt });
const members = await region.membership();
members.on('leave', (event) => {
  if (event.type === 'leave') say(`leave ${event.member.name} ${event.reason}`);
});
const listener = await region.listen('stay');
say(`slot ${region.slot}`);
for await (const channel of listener) void hear(channel);

async function hear(channel: Channel): Promise<void> {
  for await (const message of channel) say(`heard ${Buffer.from(message.bytes).toString()}`);
  say(`end ${channel.end}`);
  channel.close();
}
