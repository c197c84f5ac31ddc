/**
 * The demo's program in each guest: `demo respond` in one, `demo measure HOST EFFORT EFFORT` in the other, which begins when
 * it reads a line. Both print `ready`, then one JSON line: the messages received, or the figures of shared memory and of TCP.
 */
import { once } from 'node:events';
import type { Effort, Figures } from '../../src/demo/figures.ts';
import { DEMO_DATA_BYTES, DEMO_SERVICE, measureChannel, respond } from '../../src/demo/over-channel.ts';
import { measureSocket, serveSockets } from '../../src/demo/over-socket.ts';
import { open } from '../../src/index.ts';

const PORT = 7000;
const [role, host = '', channelEffort = '', tcpEffort = ''] = process.argv.slice(2);

if (role === 'respond') await respondOnce();
else await measure(JSON.parse(channelEffort) as Effort, JSON.parse(tcpEffort) as Effort);

async function respondOnce(): Promise<void> {
  const region = await open({ name: 'demo-b' });
  const listener = await region.listen(DEMO_SERVICE);
  const server = await serveSockets({ port: PORT, host: '0.0.0.0' });
  console.log('ready');
  const channel = await listener.accept();
  const received = channel === null ? 0 : await respond(channel);
  console.log(JSON.stringify({ received }));
  // TCP is measured after shared memory, by the same two programs; the launcher ends this one.
  await new Promise((resolve) => server.on('close', resolve));
}

async function measure(overChannel: Effort, overTcp: Effort): Promise<void> {
  const region = await open({ name: 'demo-a' });
  console.log('ready');
  await once(process.stdin, 'data');
  process.stdin.destroy();
  const channel = await region.connect(DEMO_SERVICE, { dataBytes: DEMO_DATA_BYTES });
  const figures: Figures[] = [await measureChannel(channel, 'shared memory', overChannel)];
  channel.close();
  figures.push(await measureSocket({ host, port: PORT }, 'TCP over virtio-net', overTcp));
  console.log(JSON.stringify(figures));
  await region.close();
}
