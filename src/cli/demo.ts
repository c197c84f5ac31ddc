import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Command } from 'commander';
import type { Effort } from '../demo/figures.ts';
import { EXIT_FAILURE } from './fail.ts';

const EFFORT: Effort = { roundTrips: 5000, batches: 7, messages: 500_000, blocks: 20_000 };

interface DemoOptions {
  readonly json?: true;
  readonly respond?: string;
}

/** `ivshmem demo`: two processes exchange messages through a region, beside a UNIX socket. No root, no VM. */
export function register(program: Command): void {
  program
    .command('demo')
    .description('show two processes exchanging messages through shared memory: no root, no VM')
    .option('--json', 'print the figures as JSON')
    .option('--respond <socket>', 'be the second process (used by the demo itself)')
    .action((options: DemoOptions) =>
      options.respond === undefined ? measure(options) : respond(options.respond),
    );
}

/** The first process: a server with one region, the second process as a child, and the measurements. */
async function measure(options: DemoOptions): Promise<void> {
  const { createServer } = await import('../host/index.ts');
  const { open } = await import('../channel/open.ts');
  const { DEMO_DATA_BYTES, DEMO_SERVICE, measureChannel } = await import('../demo/over-channel.ts');
  const { measureSocket } = await import('../demo/over-socket.ts');
  const { formatFigures } = await import('../demo/figures.ts');
  const say = (text: string): void =>
    void (options.json ? process.stderr : process.stdout).write(`${text}\n`);

  const socket = `@ivshmem-demo-${process.pid}`;
  say(`A server with one region of 64 MiB on the abstract socket ${socket} ...`);
  const server = await createServer({ regions: [{ name: 'demo', socket, size: 64 << 20 }] });
  const child = spawn(
    process.execPath,
    [...process.execArgv, process.argv[1]!, 'demo', '--respond', socket],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const ended = once(child, 'exit').then(() => true);
  try {
    if (await Promise.race([once(child.stdout, 'data').then(() => false), ended])) {
      // It has said why.
      process.exitCode = EXIT_FAILURE;
      return;
    }
    say(`Process ${process.pid} and process ${child.pid} are members of it.`);
    const region = await open({ socket, name: 'first' });
    const channel = await region.connect(DEMO_SERVICE, { dataBytes: DEMO_DATA_BYTES });
    say('Messages through shared memory ...');
    const shared = await measureChannel(channel, 'shared memory', EFFORT);
    channel.close();
    say('The same over a UNIX socket ...\n');
    const unix = await measureSocket({ path: `\0${socket.slice(1)}-stream` }, 'UNIX socket', EFFORT);
    await region.close();
    if (options.json) process.stdout.write(`${JSON.stringify([shared, unix])}\n`);
    else
      say(
        `${formatFigures([shared, unix])}\n\n${shared.received.toLocaleString('en')} messages were received in order with the right content.`,
      );
  } finally {
    child.kill();
    // One that could not be started was told of above.
    await ended.catch(() => {});
    await server.close();
  }
}

/** The second process: answers until it is ended, and leaves in good order then. */
async function respond(socket: string): Promise<void> {
  const { open } = await import('../channel/open.ts');
  const { DEMO_SERVICE, respond: respondTo } = await import('../demo/over-channel.ts');
  const { serveSockets } = await import('../demo/over-socket.ts');
  const region = await open({ socket, name: 'second' });
  const listener = await region.listen(DEMO_SERVICE);
  const stream = await serveSockets({ path: `\0${socket.slice(1)}-stream` });
  const leave = (): void => void region.close().finally(() => process.exit());
  process.once('SIGTERM', leave);
  // The first process is gone.
  process.stdin.once('end', leave).resume();
  process.stdout.write('ready\n');
  for await (const channel of listener) await respondTo(channel);
  stream.close();
}
