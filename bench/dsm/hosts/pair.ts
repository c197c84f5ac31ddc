import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openSpace, type SpreadSpace } from '../../../src/dsm/index.ts';
import { isIvshmemError, type Region } from '../../../src/index.ts';
import type { Options } from '../../contestants/options.ts';
import { openRegion } from '../../contestants/ours-region.ts';
import { endPartner, pinSelf, startPartner } from '../../contestants/pair.ts';
import { HOST_NAMES, PAPERS_FOLDER, papersOf } from './certificates.ts';
import { lineReader } from './line-reader.ts';

/** Two servers find each other, and members wait for that, no longer than this. */
const PATIENCE_MS = 30_000;
/** Of a host; it gives spaces less than all of it. */
export const REGION_BYTES = 64 << 20;

/** Where the programs of a sample find what hosts show each other. */
export const papersFolder = (): string => path.join(path.dirname(process.argv[1]!), PAPERS_FOLDER);

/** What the partner of a sample, on the other host, does when it is told. */
export interface Partner {
  /** Resolves with its answer. */
  ask(what: string): Promise<string>;
}

/**
 * One sample over two hosts: each is a server with a region of its own and one member, and has one of the two CPUs; what the hosts say to each other goes
 * over loopback by TLS, with certificates on both sides. Returns what `measure` gives; everything is gone by then.
 */
export async function sampleHosts<T>(
  options: Options,
  measure: (region: Region, partner: Partner) => Promise<T>,
): Promise<T> {
  pinSelf(options.cpuA);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bench-hosts-'));
  const sockets = HOST_NAMES.map((name) => path.join(folder, `${name}.socket`));
  const servers = await startServers(options, folder, sockets);
  const region = await openRegion(sockets[0]!, 'bench-a', 'adaptive');
  const partner = startPartner(options, sockets[1]!);
  const answer = lineReader(partner.stdout!);
  const ask = async (what: string): Promise<string> => {
    if (what !== '') partner.stdin!.write(`${what}\n`);
    return (await answer()) ?? failed('the partner ended');
  };
  try {
    await ask('');
    return await measure(region, { ask });
  } finally {
    await endPartner(partner);
    for (const server of servers) server.kill('SIGKILL');
    await Promise.all(servers.map(gone));
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The member on the other host: does what it is told until it is killed. `serve` resolves to what answers. */
export async function partnerOnHost(
  options: Options,
  serve: (region: Region) => Promise<(what: string) => Promise<string>>,
): Promise<void> {
  const region = await openRegion(options.address, 'bench-b', 'adaptive');
  await obey(await serve(region));
}

/** Says that it is ready, then answers line by line, until the process that started it ends. */
export async function obey(answer: (what: string) => Promise<string>): Promise<void> {
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const order = lineReader(process.stdin);
  say('ready');
  for (let what = await order(); what !== null; what = await order()) say(await answer(what));
  process.exit(0);
}

/** Opens the space on both hosts as soon as they have found each other. */
export async function openSpread(
  region: Region,
  size: number,
  pageSize: number,
  locks = false,
): Promise<SpreadSpace> {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await openSpace(region, 'bench', { size, pageSize, locks, spread: true });
    } catch (error) {
      // The server gives up after a while, and the other host may only be late.
      if (!isIvshmemError(error, 'ERR_IVSHMEM_REFUSED') || performance.now() > until) throw error;
      await delay(50);
    }
  }
}

async function startServers(
  { cpuA, cpuB }: Options,
  folder: string,
  sockets: readonly string[],
): Promise<ChildProcess[]> {
  const ports = await freePorts(HOST_NAMES.length);
  const program = path.join(path.dirname(process.argv[1]!), 'dsm-host.mjs');
  const servers = HOST_NAMES.map((name, i) => {
    const peers = Object.fromEntries(
      HOST_NAMES.flatMap((other, j) => (other === name ? [] : [[other, `127.0.0.1:${ports[j]}`]])),
    );
    const config = {
      log: 'error',
      regions: [{ name: 'bench', socket: sockets[i]!, size: REGION_BYTES, slots: 8 }],
      hosts: {
        ...{ name, listen: `127.0.0.1:${ports[i]}`, peers, share: 0.9 },
        ...{ state: path.join(folder, `${name}.json`), lease: 10 },
        ...papersOf(papersFolder(), name),
      },
    };
    const args = ['-c', String(i === 0 ? cpuA : cpuB), process.execPath, program, JSON.stringify(config)];
    return spawn('taskset', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  });
  for (const server of servers)
    if ((await lineReader(server.stdout!)()) === null) failed('a server ended before it was ready');
  return servers;
}

async function freePorts(n: number): Promise<number[]> {
  const servers = Array.from({ length: n }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  const closed = servers.map((server) => once(server, 'close'));
  for (const server of servers) server.close();
  await Promise.all(closed);
  return ports;
}

async function gone(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

function failed(why: string): never {
  throw new Error(why);
}
