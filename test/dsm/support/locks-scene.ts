import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type { Consistency } from '../../../src/memory/layout.ts';
import { Authority } from '../../host/hosts/support/certificates.ts';
import { testFolder } from '../../support/test-folder.ts';

const PROGRAM = fileURLToPath(new URL('./locks-program.ts', import.meta.url));
let count = 0;

interface Waiting {
  readonly deed: string;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** A server or a member in a process of its own. */
export class Process {
  readonly child: ChildProcess;
  readonly exited: Promise<unknown>;
  readonly #waiting: Waiting[] = [];
  #stderr = '';
  #notes = 0;

  constructor(t: Test, role: string, argument: string) {
    const words = ['--import', 'tsx', PROGRAM, role, argument];
    this.child = spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.exited = once(this.child, 'close');
    t.teardown(() => this.kill());
    this.child.stdin!.on('error', () => {});
    this.child.stderr!.on('data', (data) => {
      this.#stderr += data;
    });
    createInterface(this.child.stdout!).on('line', (line) => this.#heard(JSON.parse(line)));
    void this.exited.then(() => {
      for (const { reject, deed } of this.#waiting.splice(0))
        reject(new Error(`${deed}: the ${role} is gone: ${this.#stderr}`));
    });
  }

  /** What the program says first. */
  get begun(): Promise<unknown> {
    return this.#answer('');
  }

  /** Things that deeds said on their way. */
  get notes(): number {
    return this.#notes;
  }

  // biome-ignore lint/suspicious/noExplicitAny: what a deed returns is for the test to compare
  do(deed: string, ...args: unknown[]): Promise<any> {
    const answer = this.#answer(deed);
    this.child.stdin!.write(`${JSON.stringify({ deed, args })}\n`);
    return answer;
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  #answer(deed: string): Promise<unknown> {
    return new Promise((resolve, reject) => this.#waiting.push({ deed, resolve, reject }));
  }

  #heard(said: { deed?: string; note?: string; value?: unknown; error?: { code: string; message: string } }) {
    if (said.note !== undefined) {
      this.#notes++;
      return;
    }
    const at = this.#waiting.findIndex(({ deed }) => deed === (said.deed ?? ''));
    const [waiting] = this.#waiting.splice(at, 1);
    if (said.error === undefined) waiting?.resolve(said.value);
    else
      waiting?.reject(
        Object.assign(new Error(`${said.deed}: ${said.error.message}`), { code: said.error.code }),
      );
  }
}

/** Hosts of a list, each with a server process and a region of its own, on ports of loopback, with certificates. */
export class LocksScene {
  readonly servers: Process[] = [];
  readonly #sockets: string[] = [];
  readonly #t: Test;

  /** `lease`, seconds: long enough that no host loses it because the machine is busy. */
  static async start(t: Test, hosts: number, lease: number): Promise<LocksScene> {
    const scene = new LocksScene(t);
    const folder = testFolder(t);
    const authority = new Authority(folder);
    const names = Array.from({ length: hosts }, (_, i) => `h${i}`);
    const ports = await freePorts(hosts);
    const at = (i: number): string => `127.0.0.1:${ports[i]}`;
    for (const [i, name] of names.entries()) {
      const socket = `@ivshmem-locks-${process.pid}-${count++}`;
      const peers = Object.fromEntries(names.map((other, j) => [other, at(j)]).filter(([o]) => o !== name));
      const listen = { name, listen: at(i), peers, state: join(folder, `${name}.json`), lease, share: 0.5 };
      const config = {
        regions: [{ name: 'r', socket, size: '16M', slots: 8 }],
        hosts: { ...listen, ...authority.issue(name) },
      };
      scene.#sockets.push(socket);
      scene.servers.push(new Process(t, 'server', JSON.stringify(config)));
    }
    await Promise.all(scene.servers.map((server) => server.begun));
    return scene;
  }

  private constructor(t: Test) {
    this.#t = t;
  }

  async member(host: number): Promise<Process> {
    const member = new Process(this.#t, 'member', this.#sockets[host]!);
    await member.begun;
    return member;
  }

  /** Hosts take as long to find each other as the machine lets them, and members are told so. */
  open(name: string, size: number, ...members: readonly Process[]): Promise<void> {
    return this.openAs('sequential', name, size, ...members);
  }

  async openAs(
    consistency: Consistency,
    name: string,
    size: number,
    ...members: readonly Process[]
  ): Promise<void> {
    const deadline = performance.now() + 60_000;
    for (const member of members) {
      for (;;) {
        try {
          await member.do('open', name, size, consistency);
          break;
        } catch (error) {
          const early = (error as { code?: string }).code === 'ERR_IVSHMEM_REFUSED';
          if (!early || performance.now() > deadline) throw error;
        }
      }
    }
  }
}

async function freePorts(n: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: n }, async () => {
      const server = createTcpServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) server.close();
  return ports;
}
