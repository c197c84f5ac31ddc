/** A member with servers on loopback, told over IPC what to do: `tsx peer-program.ts SOCKET NAME SEED`. */
import { open } from '../../../src/index.ts';
import { createServer, type Socket } from '../../../src/net/index.ts';
import { stateOf } from '../../../src/net/socket.ts';
import { Random } from '../../support/random.ts';

const [socketName, name, seed] = process.argv.slice(2);
const region = await open({ socket: socketName!, name: name!, addresses: ['127.0.0.1'] });
const random = new Random(Number(seed));
const sockets = new Set<Socket>();
let switching: NodeJS.Timeout | null = null;

const say = (what: object): void => void process.send!(what);

/** Sends back what comes; `pipe` brings back-pressure and the end with it. */
const echo = createServer({ region, allowHalfOpen: true }, (socket) => {
  sockets.add(socket);
  socket.on('error', (error) => say({ error: (error as NodeJS.ErrnoException).code }));
  socket.on('close', () => sockets.delete(socket));
  socket.pipe(socket);
});
/** Reads nothing until told to, and says how much it got. */
const slow = createServer({ region, pauseOnConnect: true }, (socket) => {
  let bytes = 0;
  sockets.add(socket);
  socket.on('error', () => {});
  socket.on('data', (data) => {
    bytes += data.length;
  });
  socket.pause();
  socket.on('end', () => say({ ended: bytes }));
});

for (const server of [echo, slow])
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

process.on('message', async (message: string) => {
  if (message === 'switch') {
    switching = setInterval(() => {
      for (const socket of sockets) if (random.oneIn(20)) stateOf(socket).link?.session.leave('asked');
    }, 1);
  } else if (message === 'still') clearInterval(switching ?? undefined);
  else if (message === 'read') for (const socket of sockets) socket.resume();
  else if (message === 'drain') await region.drain();
  else if (message === 'leave') await region.close();
  else if (message === 'stuck') for (;;);
  say({ did: message });
});
const portOf = (server: typeof echo): number => (server.address() as { port: number }).port;
say({ echo: portOf(echo), slow: portOf(slow), pid: process.pid });
