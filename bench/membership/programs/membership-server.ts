import { createServer, type ServerOptions } from '../../../src/host/index.ts';
import { now } from '../clock.ts';
import type { ServerStamp } from '../sightings.ts';
import { serve } from './serve.ts';

// The server of one region, in a process of its own so that its CPU time and wake-ups are its own. Arguments: socket, slots.
const [socket, slots] = process.argv.slice(2);

type Log = NonNullable<ServerOptions['log']>;
let stamps: ServerStamp[] = [];
const types: Readonly<Record<string, ServerStamp['type']>> = { joined: 'join', left: 'leave' };

/** The server logs what it learns before it tells anybody: that line is the stamp. */
function write(first: object | string, message?: string): void {
  const type = types[message ?? ''];
  if (type === undefined || typeof first === 'string') return;
  const { member } = first as { readonly member?: string };
  if (member !== undefined) stamps.push({ type, name: member, at: now() });
}
const log: Log = { debug: () => {}, info: write, warn: write, error: write, child: () => log };

const region = { name: 'bench', socket, size: 64 << 20, slots: Number(slots), vectors: 1, channels: 256 };
const server = createServer({ regions: [region] }, { log });
serve({
  ready: async () => {
    await server;
  },
  /** CPU time of this process so far, microseconds. */
  cpu: () => {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
  /** What was stamped since the last time. */
  stamps: () => {
    const taken = stamps;
    stamps = [];
    return taken;
  },
});
