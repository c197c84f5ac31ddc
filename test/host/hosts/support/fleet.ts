import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { openSpace, type SpreadSpace } from '../../../../src/dsm/index.ts';
import { isIvshmemError } from '../../../../src/errors/index.ts';
import { open, type Region } from '../../../../src/index.ts';
import type { Consistency } from '../../../../src/memory/layout.ts';
import { until } from '../../../support/protocol/until.ts';
import { testFolder } from '../../../support/test-folder.ts';
import { Authority } from './certificates.ts';

const SERVER = fileURLToPath(new URL('server-program.ts', import.meta.url));
const MEMBER = fileURLToPath(new URL('member-program.ts', import.meta.url));
let count = 0;

/** An address of loopback that no other process of the tests listens on. */
export function ownAddress(): string {
  return `127.${64 + ((process.pid >> 16) & 63)}.${(process.pid >> 8) & 255}.${process.pid & 255}`;
}

export interface FleetOptions {
  readonly lease: number;
  readonly share?: number;
  /** A network namespace for each, and its address there; without, all are on loopback. */
  readonly networks?: readonly { readonly namespace: string; readonly address: string }[];
}

/** Servers of a list, each in a process of its own: `a`, `b` and so on. */
export class Fleet {
  readonly sockets: string[] = [];
  readonly folder: string;
  readonly #t: Test;
  readonly #configs: string[] = [];
  readonly #networks: FleetOptions['networks'];
  readonly #servers: (ChildProcess | undefined)[] = [];
  readonly #regions: Region[] = [];

  /** Of `size` hosts, none of which runs yet. */
  constructor(t: Test, size: number, { networks, ...options }: FleetOptions) {
    this.#t = t;
    this.#networks = networks;
    this.folder = testFolder(t);
    // By path, for a name would be of one network namespace; and a short one.
    const short = mkdtempSync(join(tmpdir(), 'ivshmem-fleet-'));
    t.teardown(() => rmSync(short, { recursive: true, force: true }));
    t.teardown(async () => {
      // Of servers that are stopped or gone too, which takes its time.
      for (const server of this.#servers) server?.kill('SIGCONT');
      await Promise.all(this.#regions.map((region) => region.close().catch(() => {})));
    });
    const authority = new Authority(this.folder);
    const port = 7400 + 10 * count++;
    const at = (i: number): string =>
      networks === undefined ? `${ownAddress()}:${port + i}` : `${networks[i]!.address}:${port}`;
    const names = [...'abc'].slice(0, size);
    for (const [i, name] of names.entries()) {
      const others = names.flatMap((other, j) => (j === i ? [] : [[other, at(j)]]));
      const state = join(this.folder, `${name}.json`);
      const peers = Object.fromEntries(others);
      this.sockets.push(join(short, name));
      const regions = [{ name: 'r', socket: this.sockets[i], size: '16M', slots: 8 }];
      const hosts = { name, listen: at(i), peers, state, ...authority.issue(name), ...options };
      this.#configs.push(JSON.stringify({ regions, hosts }));
    }
  }

  /** Resolves when members can connect. */
  async start(...hosts: readonly number[]): Promise<void> {
    await Promise.all(
      hosts.map(async (host) => {
        const server = this.#spawn(this.#networks?.[host]?.namespace, SERVER, [this.#configs[host]!]);
        this.#servers[host] = server;
        await said(server);
      }),
    );
  }

  /** Resolves when it is gone. */
  async end(host: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const server = this.#servers[host]!;
    const gone = once(server, 'exit');
    server.kill(signal);
    await gone;
  }

  async member(host: number): Promise<Region> {
    const name = `m${this.#regions.length}`;
    const region = await open({ socket: this.sockets[host]!, name, addresses: [] });
    this.#regions.push(region);
    return region;
  }

  /** A member in a process of its own (member-program.ts), when it has the first page. */
  async program(
    host: number,
    space: string,
    size: number,
    ...what: readonly string[]
  ): Promise<ChildProcess> {
    const child = this.#spawn(undefined, MEMBER, [this.sockets[host]!, space, String(size), ...what]);
    await said(child);
    return child;
  }

  /** One that stores to the first page without a pause, until it ends with SIGSEGV; and when it last could (process.hrtime). */
  async storer(host: number, space: string, size: number): Promise<{ child: ChildProcess; file: string }> {
    const file = join(this.folder, `stored-${host}-${count++}`);
    writeFileSync(file, Buffer.alloc(4096));
    return { child: await this.program(host, space, size, 'store', file), file };
  }

  #spawn(namespace: string | undefined, program: string, args: readonly string[]): ChildProcess {
    const node = [process.execPath, '--import', 'tsx', program, ...args];
    // `ip` replaces itself by the program: what is killed is that.
    const [command, ...rest] = namespace === undefined ? node : ['ip', 'netns', 'exec', namespace, ...node];
    const child = spawn(command!, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
    const gone = once(child, 'exit');
    this.#t.teardown(async () => {
      child.kill('SIGKILL');
      await gone;
    });
    return child;
  }
}

/** What the program says next. */
export async function said(child: ChildProcess): Promise<string> {
  const [words] = await Promise.race([
    once(child.stdout!, 'data'),
    once(child, 'exit').then(([code, signal]) => {
      throw new Error(`it ended with ${code ?? signal}`);
    }),
  ]);
  return String(words).trim();
}

/** A space of which hosts say that they are not there yet: they take as long to find each other as the machine lets them. */
export async function opened(
  region: Region,
  name: string,
  size: number,
  consistency: Consistency = 'sequential',
  replicas = 1,
): Promise<SpreadSpace> {
  let space: SpreadSpace | null = null;
  await until(
    `the space ${name} is there`,
    async () => {
      space = await openSpace(region, name, { size, spread: true, consistency, replicas }).catch(
        (error: unknown) => {
          const later = ['REFUSED', 'PAGES_FENCED', 'SERVER_SILENT'].some((code) =>
            isIvshmemError(error, `ERR_IVSHMEM_${code}` as never),
          );
          if (!later) throw error;
          return null;
        },
      );
      return space !== null;
    },
    120,
  );
  return space!;
}
