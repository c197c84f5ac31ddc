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
const PATIENCE_MS = 10_000;
const TRIES = 4;
const REQUESTS = 200;

/** By local port: where connections of this process go, and why. */
const paths = new Map<number, { path: string; reason: string }>();
subscribe('ivshmem:net.path', (message) => {
  const { localPort, path, reason } = message as { localPort: number; path: string; reason: string };
  paths.set(localPort, { path, reason });
});

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
  paths.clear();
  const connections = Number(values.connections);
  const load = await HttpLoad.open(target as net.NetConnectOpts, connections);
  const wanted = values.path === 'shared-memory';
  try {
    const reopened = wanted ? await allShared(load) : 0;
    const ns = await timeBatches(ms, (n) => load.step(n), { least: REQUESTS, warmUp: warmUpMs });
    // Some may be at changing their channel for a larger one.
    if (wanted) await allShared(load);
    const batches = ns.map((one) => 1e9 / one);
    return { value: median(batches), batches, ...(reopened === 0 ? {} : { raw: { reopened: [reopened] } }) };
  } finally {
    await load.close();
  }
}

/**
 * Makes requests until all connections are on shared memory; those that are not after a while are opened anew. Resolves with how
 * many were. @throws Error with the reasons when that does not help.
 */
async function allShared(load: HttpLoad): Promise<number> {
  const strays = (): number[] => load.ports.filter((each) => paths.get(each)?.path !== 'shared-memory');
  let reopened = 0;
  for (let tries = 0; tries < TRIES; tries++) {
    for (const deadline = performance.now() + PATIENCE_MS; performance.now() < deadline; await delay(5)) {
      // Not at rest: a connection without traffic gives its memory back.
      await load.step(load.ports.length);
      if (strays().length === 0) return reopened;
    }
    reopened += strays().length;
    await load.reopen(strays(), target as net.NetConnectOpts);
  }
  const reasons = [...new Set(strays().map((each) => paths.get(each)?.reason ?? 'unknown'))];
  throw new Error(`${strays().length} connections are not on shared memory: ${reasons.join(', ')}`);
}
