import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Channel } from '../../src/index.ts';
import { printBatches, timeBatches } from './batches.ts';
import { largeBytes } from './content.ts';
import { parseOptions } from './options.ts';
import { serveOtherWork, wasServed } from './other-work.ts';
import { answerByPolling, feed, pollRoundTrips, takeLarge, takeSmall } from './ours-polling.ts';
import { openRegion, type Strategy, serverRunning } from './ours-region.ts';
import { answerFromLoop, loopRoundTrips } from './ours-serving.ts';
import { announce, announced, endPartner, endWithParent, fail, pinSelf, startPartner } from './pair.ts';

// The product: two host processes that are peers over a real server, through the public API only.
// Modes: rtt-busy, rtt-asleep, rtt-loop, rate, in-place, copied, channels.
const options = parseOptions();
const { mode, channels: channelCount } = options;
const large = mode === 'in-place' || mode === 'copied';
const serving = mode === 'rtt-asleep' || mode === 'rtt-loop' || mode === 'channels';
const strategy: Strategy = mode === 'rtt-asleep' ? 'interrupt' : serving ? 'loop' : 'adaptive';
const service = 'bench';

if (options.role === 'partner') await partner();
else await measure();

async function partner(): Promise<void> {
  endWithParent();
  if (mode === 'rtt-loop') serveOtherWork();
  const region = await openRegion(options.address, 'bench-b', strategy);
  const listener = await region.listen(service);
  announce(options.address);
  for (let accepted = 0; accepted < channelCount; accepted++) {
    const channel = await listener.accept();
    if (channel === null) fail('the listener closed');
    if (serving) answerFromLoop(channel);
    else if (mode === 'rtt-busy') answerByPolling(channel);
    else feed(channel, large);
  }
}

async function measure(): Promise<void> {
  pinSelf(options.cpuA);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bench-ours-'));
  const socket = path.join(folder, 'socket');
  const server = await serverRunning(socket, channelCount);
  const partner = startPartner(options, socket);
  await announced(partner);
  const region = await openRegion(socket, 'bench-a', strategy);
  const shape = large ? { dataBytes: 8 << 20 } : channelCount > 1 ? { queueSize: 16, dataBytes: 4096 } : {};
  const channels: Channel[] = [];
  for (let i = 0; i < channelCount; i++) channels.push(await region.connect(service, shape));
  const served = mode === 'rtt-loop' ? serveOtherWork() : undefined;
  const from = performance.now();
  const batches = await timeBatches(options.ms, stepOf(channels));
  if (served && !wasServed(served(), performance.now() - from))
    fail(`the loop served its timer only ${served()} times`);
  await endPartner(partner);
  const ended = once(server, 'exit');
  server.kill('SIGTERM');
  await ended;
  rmSync(folder, { recursive: true, force: true });
  const roundTrip = serving || mode === 'rtt-busy';
  printBatches(batches, roundTrip ? 'ns' : large ? 'B/s' : 'msg/s', roundTrip ? 0 : large ? largeBytes : 1);
  process.exit(0);
}

function stepOf(channels: readonly Channel[]) {
  const [channel] = channels;
  if (serving) return loopRoundTrips(channels);
  if (mode === 'rtt-busy') return pollRoundTrips(channel!);
  return large ? takeLarge(channel!, mode === 'copied') : takeSmall(channel!);
}
