/** Imported before a program that knows nothing of it: says at its end how many connections went over to shared memory, and why others went to TCP. */
import { subscribe } from 'node:diagnostics_channel';
import type { PathMessage } from '../../../../src/net/index.ts';

const connections = new Set<string>();
const reasons: Record<string, number> = {};
subscribe('ivshmem:net.path', (message) => {
  const { path, reason, localPort, remoteAddress, remotePort } = message as PathMessage;
  if (path === 'shared-memory') connections.add(`${localPort} ${remoteAddress} ${remotePort}`);
  else reasons[reason] = (reasons[reason] ?? 0) + 1;
});
process.on('exit', () => console.log(JSON.stringify({ onSharedMemory: connections.size, reasons })));
