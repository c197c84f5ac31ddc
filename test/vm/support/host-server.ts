import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Bridge } from '../../../qemu/network.ts';
import type { Issued } from '../../host/hosts/support/certificates.ts';
import { until } from '../../support/protocol/until.ts';
import { bundledServer } from '../../support/supervised-server.ts';

const PORT = 7400;
/** Beside VMs whose processors are emulated everything is late. */
const PATIENCE_S = 180;

export interface HostServerOptions {
  readonly name: string;
  readonly bridge: Bridge;
  /** Its address there. */
  readonly address: string;
  readonly socket: string;
  readonly size: string;
  readonly issued: Issued;
  readonly etcd: string;
  readonly lease: number;
  /** Where its configuration is written. */
  readonly file: string;
}

/** `ivshmem server` of one of several hosts, in the host's network namespace. */
export class HostServer {
  readonly process: ChildProcess;
  readonly #log: { msg?: string; state?: string }[] = [];
  readonly #complaints: string[] = [];

  private constructor(child: ChildProcess) {
    this.process = child;
    createInterface({ input: child.stderr! }).on('line', (line) => {
      if (line.startsWith('{')) this.#log.push(JSON.parse(line));
      else this.#complaints.push(line);
    });
  }

  /** Resolves when it takes part among the hosts. */
  static async start(options: HostServerOptions): Promise<HostServer> {
    const { name, bridge, address, socket, size, issued, etcd, lease, file } = options;
    const toml = (values: object): string[] =>
      Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
    const region = toml({ name: 'r', socket, size, slots: 8 });
    const hosts = toml({ name, listen: `${address}:${PORT}`, etcd: [etcd], ...issued, lease });
    writeFileSync(file, ['[[regions]]', ...region, '[hosts]', ...hosts, ''].join('\n'));
    const { NODE_OPTIONS: _, ...env } = process.env;
    const command = [process.execPath, await bundledServer(), 'server', '--config', file];
    const child = spawn('ip', ['netns', 'exec', bridge.namespace, ...command], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env,
    });
    const server = new HostServer(child);
    await server.#until('listening', () => server.#log.some(({ msg }) => msg === 'listening'));
    await server.#until('serving', () => server.state === 'serving');
    return server;
  }

  /** Among the hosts, as it logged last. */
  get state(): string | undefined {
    return this.#log.findLast(({ state }) => state !== undefined)?.state;
  }

  /** For who wants to know why. */
  get said(): string {
    return [...this.#complaints, ...this.#log.slice(-20).map((line) => JSON.stringify(line))].join('\n');
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (!this.#running) return;
    const gone = once(this.process, 'exit');
    this.process.kill(signal);
    await gone;
  }

  get #running(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  async #until(what: string, holds: () => boolean): Promise<void> {
    const look = (): boolean => {
      if (!this.#running) throw new Error(`the server ended:\n${this.said}`);
      return holds();
    };
    await until(what, look, PATIENCE_S).catch((cause: Error) => {
      throw new Error(`${cause.message}\n${this.said}`, { cause });
    });
  }
}
