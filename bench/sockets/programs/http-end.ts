import { subscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import http from 'node:http';
import type net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { timeBatches } from '../../contestants/batches.ts';
import { median } from '../../harness/statistics.ts';
import { answerLines } from '../asked.ts';
import type { Taken, Timing } from '../commands.ts';
import { body, HttpLoad } from '../http-load.ts';

/**
 * An ordinary HTTP server (`answer`) and an ordinary client (`measure`), which know of nothing but Node. `--path shared-memory`: the client
 * waits until each of its connections has gone there, which it learns from the diagnostics channel.
 */
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    at: { type: 'string', default: '127.0.0.1:0' },
    path: { type: 'string', default: 'tcp' },
    connections: { type: 'string', default: '16' },
  },
});
const [, host, port] = /^([\d.]+):(\d+)$/.exec(values.at) ?? [];
const target = host === undefined ? { path: values.at } : { host, port: Number(port) };
const LIMIT_MS = 45_000;
const REQUESTS = 200;

if (positionals[0] === 'answer') await listen();
else await answerLines(take);

async function listen(): Promise<void> {
  process.stdin.on('end', () => process.exit(0)).resume();
  const server = http.createServer((_, response) => {
    response.setHeader('Content-Type', 'text/plain');
    response.setHeader('Content-Length', body.length);
    response.end(body);
  });
  server.keepAliveTimeout = 0;
  server.listen(target);
  await once(server, 'listening');
  const where = server.address() as string | net.AddressInfo;
  process.stdout.write(`${typeof where === 'string' ? where : `${where.address}:${where.port}`}\n`);
}

async function take({ ms, warmUpMs }: Timing): Promise<Taken> {
  const connections = Number(values.connections);
  const paths = new Map<number, { path: string; reason: string }>();
  const note = (message: unknown): void => {
    const { localPort, path, reason } = message as { localPort: number; path: string; reason: string };
    paths.set(localPort, { path, reason });
  };
  subscribe('ivshmem:net.path', note);
  const load = await HttpLoad.open(target as net.NetConnectOpts, connections);
  try {
    await load.step(connections);
    const shared = () => [...paths.values()].filter(({ path }) => path === 'shared-memory').length;
    if (values.path === 'shared-memory')
      for (const deadline = performance.now() + LIMIT_MS; shared() < connections; await delay(5)) {
        if (performance.now() < deadline) continue;
        const reasons = [...new Set([...paths.values()].map(({ reason }) => reason))].join(', ');
        throw new Error(`${shared()} of ${connections} connections on shared memory: ${reasons}`);
      }
    const ns = await timeBatches(ms, (n) => load.step(n), { least: REQUESTS, warmUp: warmUpMs });
    if (values.path === 'shared-memory' && shared() < connections)
      throw new Error('a connection went back to TCP in the sample');
    const batches = ns.map((one) => 1e9 / one);
    return { value: median(batches), batches };
  } finally {
    await load.close();
  }
}
