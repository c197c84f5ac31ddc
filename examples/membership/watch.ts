import { type MembershipEvent, open } from 'ivshmem';

// Terminal 1, or the first VM: who is here, and what becomes of them. With a number as argument, until so many have left.
const untilLeft = Number(process.argv[2] ?? Number.POSITIVE_INFINITY);
await using region = await open({ name: 'watcher', labels: { role: 'watcher' } });
using members = await region.membership({ suspectAfterMs: 2000 });

for (const member of members.list()) {
  const { slot, name, state, backend, addresses, labels } = member;
  console.log(
    `slot ${slot}: ${name} ${state} over ${backend}, ${addresses.join(' ')} ${JSON.stringify(labels)}`,
  );
}

const tell = (event: MembershipEvent): string => {
  const { type, view, member } = event;
  if (type === 'leave') return `view ${view}: ${member.name} left: ${event.reason}`;
  return `view ${view}: ${type} ${member.name}, ${member.state}, listens to [${member.listeners.join(', ')}]`;
};

let left = 0;
for await (const event of members) {
  console.log(tell(event));
  if (event.type === 'leave' && ++left >= untilLeft) break;
}
