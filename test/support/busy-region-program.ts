/**
 * A server and processes that exchange messages through its region, until standard input ends: for pictures of `ivshmem top`.
 * Prints the socket when everything runs. Called with a socket and a role, it is one of the processes.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Channel, isIvshmemError, open, type Region } from '../../src/index.ts';
import { serveRegion } from './busy-region.ts';

interface Role {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly listens: readonly string[];
  /** Asks `service` so often, in bursts of `count` messages of `bytes`. */
  readonly asks: readonly { service: string; count: number; bytes: number; everyMs: number }[];
  readonly drains?: boolean;
}

const roles: readonly Role[] = [
  { name: 'db-primary', addresses: ['10.0.0.11'], listens: ['query'], asks: [] },
  {
    name: 'db-replica',
    addresses: ['10.0.0.12'],
    listens: ['counters'],
    asks: [{ service: 'query', count: 4, bytes: 4096, everyMs: 10 }],
  },
  {
    name: 'web-1',
    addresses: ['10.0.0.21', 'fd00::21'],
    listens: [],
    asks: [
      { service: 'query', count: 40, bytes: 180, everyMs: 10 },
      { service: 'counters', count: 1, bytes: 512, everyMs: 50 },
    ],
  },
  {
    name: 'web-2',
    addresses: ['10.0.0.22'],
    listens: [],
    asks: [{ service: 'query', count: 25, bytes: 180, everyMs: 20 }],
    drains: true,
  },
  {
    name: 'metrics',
    addresses: ['10.0.0.31'],
    listens: [],
    asks: [{ service: 'counters', count: 2, bytes: 1500, everyMs: 100 }],
  },
];

const [socket, roleName] = process.argv.slice(2);
if (socket === undefined) await main();
else await play(socket, roles.find(({ name }) => name === roleName)!);

async function main(): Promise<void> {
  const region = await serveRegion('default', { size: '64M', slots: 64, channels: 4096 });
  const children: ChildProcess[] = [];
  for (const { name } of roles) {
    const words = [...process.execArgv, fileURLToPath(import.meta.url), region.socket, name];
    const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(child);
    await once(child.stdout!, 'data');
  }
  process.stdout.write(`${region.socket}\n`);
  process.stdin.resume();
  await once(process.stdin, 'end');
  for (const child of children) child.kill();
  await region.close();
  process.exit();
}

async function play(socket: string, { name, addresses, listens, asks, drains }: Role): Promise<void> {
  const region = await open({ socket, name, addresses });
  for (const service of listens) void answer(region, service);
  for (const { service, count, bytes, everyMs } of asks) {
    const channel = await connect(region, service);
    channel.serve(() => {});
    const message = new Uint8Array(bytes);
    setInterval(() => {
      for (let i = 0; i < count; i++) if (!channel.send(message)) return;
    }, everyMs);
  }
  if (drains) await region.drain();
  process.stdout.write('ready\n');
}

/** Answers each message with one of the same size. */
async function answer(region: Region, service: string): Promise<void> {
  for await (const channel of await region.listen(service)) {
    channel.serve((message) => void channel.send(new Uint8Array(message.length)));
  }
}

/** Until the one who listens is there. */
async function connect(region: Region, service: string): Promise<Channel> {
  for (;;) {
    try {
      return await region.connect(service);
    } catch (error) {
      if (!isIvshmemError(error)) throw error;
      await delay(50);
    }
  }
}
