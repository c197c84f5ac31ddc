/**
 * A region with members that exchange messages, until standard input ends: for pictures and for tests of `ivshmem top`.
 * Prints its socket when everything runs. A line on standard input is the name of one more member.
 */
import { createInterface } from 'node:readline';
import type { Channel } from '../../src/index.ts';
import { connected, serveRegion } from './busy-region.ts';

const region = await serveRegion('default', { size: '64M', slots: 64, channels: 4096 });

const roles = [
  { name: 'db-primary', addresses: ['10.0.0.11'], labels: { role: 'database' } },
  { name: 'db-replica', addresses: ['10.0.0.12'], labels: { role: 'database' } },
  { name: 'web-1', addresses: ['10.0.0.21', 'fd00::21'] },
  { name: 'web-2', addresses: ['10.0.0.22'] },
  { name: 'metrics', addresses: ['10.0.0.31'] },
];
const members = [];
for (const { name, ...rest } of roles) members.push(await region.join(name, rest));
const [primary, replica, first, second, metrics] = members;

/** Sends bursts of `count` messages of `bytes` every `everyMs`. */
function traffic(from: Channel, to: Channel, count: number, bytes: number, everyMs: number): void {
  to.serve(() => {});
  const message = new Uint8Array(bytes);
  setInterval(() => {
    for (let i = 0; i < count; i++) if (!from.send(message)) return;
  }, everyMs);
}

for (const [listening, connecting, service, count, bytes, everyMs] of [
  [primary, first, 'query', 40, 180, 10],
  [primary, second, 'query-2', 25, 180, 10],
  [replica, primary, 'journal', 4, 4096, 10],
  [metrics, first, 'counters', 1, 512, 100],
  [metrics, replica, 'counters-2', 1, 512, 250],
] as const) {
  const { connector, listener } = await connected(listening!, connecting!, service);
  traffic(connector, listener, count, bytes, everyMs);
  if (service.startsWith('query')) traffic(listener, connector, count, bytes * 4, everyMs);
}
await second!.drain();
process.stdout.write(`${region.socket}\n`);

const lines = createInterface({ input: process.stdin });
lines.on('line', (name) => void region.join(name));
lines.on('close', () => void region.close().then(() => process.exit()));
