/** Members that have nothing to do: `idle SOCKET NAME COUNT`. Each listens, watches the membership, and has a channel to the first. */
import { open } from '../../src/index.ts';

const [socket = '', name = '', count = '1'] = process.argv.slice(2);
const [hub, ...rest] = await Promise.all(
  Array.from({ length: Number(count) }, (_, i) => open({ socket, name: `${name}-${i}` })),
);
for (const region of [hub!, ...rest]) {
  region.listen('idle').then(async (listener) => {
    for await (const channel of listener) void channel.next();
  });
  const members = await region.membership();
  members.on('leave', () => {});
}
for (const region of rest) void (await region.connect('idle', { peer: hub!.name })).next();
process.stdout.write('ready\n');
