/**
 * A plain program of node:net, node:http and node:tls, with transparent mode on: servers, and load on those of a peer.
 * Orders on stdin: `N load ADDRESS` begins to load a peer's servers, `N look`, `N stop`. Each is answered by a line
 * {"order":N,...}; `look` and `stop` by what each connection did. Every change of path is a line {"path":...}.
 */
import '../../../src/transparent/index.ts';
import { subscribe } from 'node:diagnostics_channel';
import http from 'node:http';
import net from 'node:net';
import { createInterface } from 'node:readline';
import tls from 'node:tls';
import { type Load, startLoad } from './migrant-load.ts';
import { PORTS, SHARED_KEY } from './migrant-ports.ts';

const say = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

const echo = (socket: net.Socket): void => {
  socket.on('error', (error) => say({ fault: `${socket.localPort}: ${error.message}` }));
  socket.pipe(socket);
};
const pages = http.createServer({ keepAliveTimeout: 600_000 }, (request, response) => {
  const body: Buffer[] = [];
  request.on('data', (data: Buffer) => body.push(data));
  request.on('end', () => response.end(Buffer.concat(body)));
});
const servers = [
  net.createServer(echo).listen(PORTS.echo),
  pages.listen(PORTS.http),
  tls.createServer(SHARED_KEY, echo).listen(PORTS.tls),
];
let listening = 0;
for (const server of servers)
  server.on('listening', () => ++listening === servers.length && say({ ready: true }));

subscribe('ivshmem:net.path', (message) => {
  const { path, reason, localPort, remotePort, region } = message as Record<string, unknown>;
  say({ path, reason, localPort, remotePort, region });
});
process.on('uncaughtException', (error) => {
  say({ fault: error.stack });
  process.exit(1);
});

let load: Load | null = null;
createInterface({ input: process.stdin }).on('line', (line) => {
  const [order, verb, address] = line.split(' ');
  void obey(verb!, address!).then((result) => say({ order: Number(order), ...result }));
});

async function obey(verb: string, address: string): Promise<object> {
  if (verb === 'load') {
    load = startLoad(address);
    return {};
  }
  if (verb === 'look') return { talks: load!.look() };
  await load?.stop();
  return { talks: load?.look() ?? [] };
}
