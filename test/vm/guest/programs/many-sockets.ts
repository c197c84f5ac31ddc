/**
 * Many connections between two VMs: `many-sockets serve PORT` answers with what it gets, until its input ends; `many-sockets call HOST
 * PORT COUNT ROUNDS` makes COUNT of them, waits until all are on shared memory at once, and has each send a message when the one before
 * is back, until each had ROUNDS. Why some are not there yet is told every ten seconds, on stderr.
 */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { open } from '../../../../src/index.ts';
import { connect, counters, createServer, type Socket, setRegion } from '../../../../src/net/index.ts';

/** Nobody gives a channel back but by closing. */
const IDLE_MS = 3_600_000;
const DATA_BYTES = 16 << 10;
const MESSAGE_BYTES = 512;
/** No more at a time than a server's backlog takes. */
const CONNECTING = 50;
const LOOK_MS = 100;
const TELL_MS = 10_000;

async function serve(port: number): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  server.listen({ port, host: '0.0.0.0', backlog: 1024 });
  await once(server, 'listening');
  console.log('listening');
  process.stdin.resume();
  await once(process.stdin, 'end');
  server.close();
}

async function call(host: string, port: number, count: number, rounds: number): Promise<object> {
  const callers: Caller[] = [];
  for (let i = 0; i < count; i++) {
    callers.push(new Caller(connect({ host, port }), i));
    if ((i + 1) % CONNECTING === 0) await once(callers[i]!.socket, 'connect');
  }
  const over = (): number => callers.filter(({ socket }) => socket.path === 'shared-memory').length;
  const telling = setInterval(
    () => console.error(`${over()} of ${count}: ${JSON.stringify(counters())}`),
    TELL_MS,
  );
  const begin = performance.now();
  while (over() < count) await delay(LOOK_MS);
  const seconds = (performance.now() - begin) / 1000;
  for (const caller of callers) caller.call();
  while (callers.some((caller) => caller.rounds < rounds)) await delay(LOOK_MS);
  clearInterval(telling);
  const counts = callers.map((caller) => caller.rounds);
  const onSharedMemory = over();
  for (const { socket } of callers) socket.destroy();
  return {
    ...{ onSharedMemory, seconds, least: Math.min(...counts), most: Math.max(...counts) },
    wrong: callers.reduce((sum, { wrong }) => sum + wrong, 0),
    errors: callers.flatMap(({ error }) => (error === null ? [] : [error.message])),
  };
}

/** One connection. Its messages are those of no other, and each is another: bytes of the wrong place are noticed. */
class Caller {
  readonly socket: Socket;
  rounds = 0;
  wrong = 0;
  error: Error | null = null;
  readonly #number: number;
  #message = Buffer.alloc(0);
  #received = 0;

  constructor(socket: Socket, number: number) {
    this.socket = socket;
    this.#number = number;
    socket.on('error', (error) => {
      this.error = error;
    });
    socket.on('data', (data: Buffer) => this.#take(data));
  }

  call(): void {
    this.#message = Buffer.alloc(MESSAGE_BYTES, `${this.#number}:${this.rounds} `);
    this.#received = 0;
    this.socket.write(this.#message);
  }

  #take(data: Buffer): void {
    if (!data.equals(this.#message.subarray(this.#received, this.#received + data.length))) this.wrong++;
    this.#received += data.length;
    if (this.#received < MESSAGE_BYTES) return;
    this.rounds++;
    this.call();
  }
}

const [role, ...words] = process.argv.slice(2);
const region = await open({ name: role! });
await setRegion(region, { dataBytes: DATA_BYTES, maxDataBytes: DATA_BYTES, queueSize: 64, idleMs: IDLE_MS });
if (role === 'serve') await serve(Number(words[0]));
else console.log(JSON.stringify(await call(words[0]!, Number(words[1]), Number(words[2]), Number(words[3]))));
await setRegion(null);
await region.close();
