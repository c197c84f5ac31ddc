import { once } from 'node:events';
import type net from 'node:net';
import { createInterface } from 'node:readline';
import type { Region } from '../../channel/index.ts';
import { open } from '../../channel/open.ts';
import { adaptive, interrupt, loop } from '../../membership/index.ts';
import { answer } from '../stream/answering.ts';
import { answerChannels } from '../stream/channel.ts';
import { moduleOf, moduleOver, placeOf, type SocketModule } from '../stream/modules.ts';
import type { Command, Reply, Way } from './commands.ts';
import { ringAlways } from './ring-always.ts';
import { type Means, Sampler } from './sampler.ts';
import { targetOf } from './target.ts';

export const strategies = { adaptive, interrupt, loop };
export type Strategy = keyof typeof strategies;

/** One side of what is measured: a process, or a command in a VM. */
export interface EndOptions {
  readonly role: 'answer' | 'measure';
  readonly way: Way;
  /** Where the answering side listens or the measuring one connects: HOST:PORT, or the path of a UNIX socket. Not for channels. */
  readonly at: string;
  /** A server's socket, or the PCI address of a device; '' is this machine's device. */
  readonly region: string;
  readonly wait: Strategy;
  /** Of this host, where it is no VM. */
  readonly addresses: readonly string[];
  /** A doorbell for every commit, whether the other side asked for one or not. */
  readonly ringAlways?: boolean;
}

/**
 * `answer` says in a line where it listens and serves until stdin ends; `measure` says `ready`, then answers every line on stdin with one.
 * @throws Error when it cannot join the region or listen.
 */
export async function runEnd(options: EndOptions): Promise<void> {
  if (options.ringAlways === true) ringAlways();
  if (options.role === 'answer') await answerAt(options);
  else await measureAt(options);
}

function joined({ role, region, wait, addresses }: EndOptions): Promise<Region> {
  const own = addresses.length === 0 ? {} : { addresses: [...addresses] };
  return open({ ...placeOf(region), ...own, name: nameOf(role), wait: strategies[wait] });
}

function socketsOf({ role, way, region, addresses }: EndOptions): Promise<SocketModule> {
  return moduleOf(way === 'net' ? 'net' : 'ivshmem/net', region, nameOf(role), [...addresses]);
}

async function answerAt(options: EndOptions): Promise<void> {
  if (options.way === 'channel') {
    const served = answerChannels(await joined(options));
    say('channel');
    endWithStdin();
    return served;
  }
  say(placeOfServer(await listenWith(await socketsOf(options), options.at)));
  endWithStdin();
}

/** Listens and answers. */
async function listenWith(module: SocketModule, at: string): Promise<net.Server> {
  const server = module.createServer({ noDelay: true }, (socket) => answer(module, socket));
  server.listen(targetOf(at));
  await once(server, 'listening');
  return server;
}

function placeOfServer(server: net.Server): string {
  const where = server.address() as string | net.AddressInfo;
  return typeof where === 'string' ? where : `${where.address}:${where.port}`;
}

/** The other side of a whole study, in one process, because a device has one: channels, ivshmem/net at `port`, node:net at the port after it. */
export async function answerAll(
  region: string,
  addresses: readonly string[],
  host: string,
  port: number,
): Promise<string[]> {
  const joinedRegion = await joined({
    role: 'answer',
    way: 'channel',
    at: '',
    region,
    wait: 'adaptive',
    addresses,
  });
  let closing = false;
  // Channels that end are its own news; only a region that is lost ends the answering side.
  answerChannels(joinedRegion).catch((error: Error) => {
    if (closing) return;
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });
  const servers: net.Server[] = [];
  try {
    servers.push(await listenWith(await moduleOver(joinedRegion), `${host}:${port}`));
    servers.push(await listenWith(await moduleOf('net', '', '', []), `${host}:${port + 1}`));
  } catch (error) {
    // Nothing is answered by halves, nor kept open.
    closing = true;
    for (const server of servers) server.close();
    await joinedRegion.close();
    throw error;
  }
  const [shared, plain] = servers.map(placeOfServer);
  return ['channels', `sockets at ${shared}`, `TCP at ${plain}`];
}

async function measureAt(options: EndOptions): Promise<void> {
  const means: Means =
    options.way === 'channel'
      ? { region: await joined(options) }
      : { module: await socketsOf(options), target: { ...targetOf(options.at), noDelay: true } };
  const sampler = new Sampler(means);
  say('ready');
  for await (const line of createInterface({ input: process.stdin })) {
    const reply: Reply = await sampler.take(JSON.parse(line) as Command).then(
      (value) => ({ value }),
      (error: Error) => ({ error: error.message }),
    );
    say(JSON.stringify(reply));
  }
  process.exit(0);
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

function endWithStdin(): void {
  process.stdin.on('end', () => process.exit(0)).resume();
}

/** A region takes each name once. */
const nameOf = (role: string): string => `study-${role}-${process.pid}`;
