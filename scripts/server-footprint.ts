/** Prints what `ivshmem server` costs: time from start to the first handshake, and memory with every slot taken. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const SLOTS = 64;
const LAST_MESSAGE = 8 * (3 + SLOTS * 2);

const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
if (!existsSync(main)) throw new Error('run `npm run build` first');
const path = `/tmp/ivshmem-footprint-${process.pid}.sock`;

/** Connects and takes a whole handshake; undefined when nobody listens yet. */
async function join(): Promise<Socket | undefined> {
  const socket = createConnection(path);
  let bytes = 0;
  socket.on('data', (chunk) => {
    bytes += chunk.length;
    if (bytes >= LAST_MESSAGE) socket.emit('joined');
  });
  try {
    await once(socket, 'joined');
    return socket;
  } catch {
    return undefined;
  }
}

const start = performance.now();
const server = spawn(process.execPath, [main, 'server', '--socket', path, '--log', 'silent'], {
  stdio: ['ignore', 'inherit', 'inherit'],
});
const members: Socket[] = [];
try {
  for (let first = await join(); ; first = await join()) {
    if (first !== undefined) {
      members.push(first);
      break;
    }
    if (server.exitCode !== null) throw new Error(`the server ended with ${server.exitCode}`);
    await delay(2);
  }
  const milliseconds = performance.now() - start;
  while (members.length < SLOTS - 1) members.push((await join())!);
  const status = readFileSync(`/proc/${server.pid}/status`, 'utf8');
  const kib = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)![1]);
  process.stdout.write(`start to first handshake: ${milliseconds.toFixed(0)} ms\n`);
  process.stdout.write(`resident with ${members.length} members: ${(kib('VmRSS') / 1024).toFixed(1)} MiB`);
  process.stdout.write(`, of it private: ${(kib('RssAnon') / 1024).toFixed(1)} MiB\n`);
} finally {
  for (const member of members) member.destroy();
  server.kill();
}
