/** The servers of all programs in one process, until its standard input ends. */
import type { Server } from 'node:net';
import { listen } from './program.ts';
import { programs } from './programs/index.ts';

const servers: Server[] = [];
const ports: Record<string, number> = {};
for (const [name, { server, host }] of Object.entries(programs)) {
  const one = await server();
  servers.push(one);
  ports[name] = await listen(one, host);
}
console.log(JSON.stringify(ports));
process.stdin.resume().on('end', () => {
  for (const server of servers) {
    server.close();
    (server as { closeAllConnections?(): void }).closeAllConnections?.();
  }
});
