/** Half of test/transparent/switching.ts: `switching.ts serve`, or `switching.ts ask PORT SECURE_PORT SEED`. */
import http from 'node:http';
import https from 'node:https';
import type net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { participantOf } from '../../../src/net/regions.ts';
import { linkOf } from '../../../src/net/socket-state.ts';
import { counters, pathOf } from '../../../src/transparent/index.ts';
import { lowerOf } from '../../../src/transparent/lower.ts';
import { until } from '../../support/protocol/until.ts';
import { Random } from '../../support/random.ts';
import { all, authority, bytes, listen, serverIdentity, sum } from './program.ts';

const SWITCHES = 300;
const MOST_MS = 60_000;
const [role, port, securePort, seed] = process.argv.slice(2);

/** Brings connections to TCP at random, from where they come back by themselves. */
function shake(sockets: Iterable<net.Socket>, random: Random): () => void {
  const timer = setInterval(() => {
    for (const socket of sockets)
      if (random.oneIn(20)) linkOf(lowerOf(socket) ?? socket)?.session.leave('asked');
  }, 2);
  return () => clearInterval(timer);
}

async function serve(): Promise<void> {
  const answer = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    void all(request).then((body) => {
      response.setHeader('x-sum', sum(body));
      response.end(body);
    });
  };
  const servers = [http.createServer(answer), https.createServer(serverIdentity, answer)];
  const sockets = new Set<net.Socket>();
  for (const server of servers)
    server.on('connection', (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    });
  console.log(JSON.stringify([await listen(servers[0]!), await listen(servers[1]!)]));
  const still = shake(sockets, new Random(7));
  process.stdin.resume().on('end', () => {
    still();
    for (const server of servers) server.close();
  });
}

async function ask(): Promise<void> {
  const random = new Random(Number(seed));
  const options = { keepAlive: true, maxSockets: 1 };
  const agents = [
    ...Array.from({ length: 3 }, () => ({ agent: new http.Agent(options), get: http.request, port })),
    ...Array.from({ length: 3 }, () => ({
      agent: new https.Agent({ ...options, ...authority }),
      get: https.request,
      port: securePort,
    })),
  ];
  const sockets = new Set<net.Socket>();
  let wrong = 0;
  let asked = 0;
  const once = ({ agent, get, port }: (typeof agents)[number]): Promise<void> =>
    new Promise((resolve, reject) => {
      const body = bytes(random.oneIn(5) ? random.below(400_000) : random.below(3000), random.below(1000));
      const request = get({ port, host: '127.0.0.1', agent, method: 'POST' }, (response) => {
        sockets.add(response.socket);
        all(response).then((got) => {
          asked++;
          if (!got.equals(body) || response.headers['x-sum'] !== sum(body)) wrong++;
          resolve();
        }, reject);
      });
      request.on('error', reject);
      request.end(body);
    });
  const switches = (): number => counters().toSharedMemory + counters().toTcp;
  const still = shake(sockets, random);
  const deadline = Date.now() + MOST_MS;
  await Promise.all(
    agents.map(async (each) => {
      while (switches() < SWITCHES && Date.now() < deadline) await once(each);
    }),
  );
  still();
  const paths = (): string[] => [...sockets].map((socket) => pathOf(socket).path);
  const moved = switches();
  // This member leaves: all of them go on over TCP.
  await participantOf(undefined)!.region!.drain();
  await until('TCP', () => paths().every((path) => path === 'tcp'), 60);
  for (let i = 0; i < 5; i++) await Promise.all(agents.map(once));
  await delay(1);
  const reasons = [...new Set([...sockets].map((socket) => pathOf(socket).reason))];
  console.log(JSON.stringify({ asked, wrong, moved, connections: sockets.size, reasons, after: paths() }));
  for (const { agent } of agents) agent.destroy();
}

await (role === 'serve' ? serve() : ask());
