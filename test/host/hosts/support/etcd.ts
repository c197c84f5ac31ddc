import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { until } from '../../../support/protocol/until.ts';

/** Why tests that need etcd cannot run; null when they can. */
export function withoutEtcd(): string | null {
  try {
    execFileSync('etcd', ['--version'], { stdio: 'pipe', timeout: 20_000 });
    return null;
  } catch {
    return 'etcd is not installed';
  }
}

/** A real etcd of one node, which can be killed and started again with what it has on disk. */
export class Etcd {
  readonly url: string;
  readonly #folder: string;
  readonly #peer: string;
  readonly #namespace: string | null;
  readonly #options: readonly string[];
  #process: ChildProcess | null = null;

  private constructor(
    folder: string,
    at: readonly [client: string, peer: string],
    namespace: string | null,
    options: readonly string[] = [],
  ) {
    this.#options = options;
    this.#folder = folder;
    this.url = `http://${at[0]}`;
    this.#peer = `http://${at[1]}`;
    this.#namespace = namespace;
  }

  /** On loopback. `options`: more of etcd's own. */
  static async open(folder: string, ...options: readonly string[]): Promise<Etcd> {
    const at = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`] as const;
    const etcd = new Etcd(folder, at, null, options);
    await etcd.start();
    return etcd;
  }

  /** At an address of a network namespace, where nobody else listens. */
  static async openIn(namespace: string, address: string, folder: string): Promise<Etcd> {
    const etcd = new Etcd(folder, [`${address}:2379`, `${address}:2380`], namespace);
    await etcd.start();
    return etcd;
  }

  async start(): Promise<void> {
    const { url } = this;
    this.#process = spawn(
      ...this.#inside('etcd', [
        ...['--data-dir', this.#folder, '--name', 'test', '--logger', 'zap', '--log-outputs', 'stderr'],
        ...['--listen-client-urls', url, '--advertise-client-urls', url],
        ...['--listen-peer-urls', this.#peer, '--initial-advertise-peer-urls', this.#peer],
        ...['--initial-cluster', `test=${this.#peer}`],
        ...this.#options,
      ]),
      { stdio: 'ignore' },
    );
    // By a program of its own: only that can be in the namespace.
    const look = `fetch('${url}/health').then(async (answer) => process.exit((await answer.text()).includes('true') ? 0 : 1))`;
    await until(
      'etcd is healthy',
      () => spawnSync(...this.#inside(process.execPath, ['-e', look]), { stdio: 'ignore' }).status === 0,
      120,
    );
  }

  /** `ip` replaces itself by the program: what is killed is that. */
  #inside(program: string, args: readonly string[]): [string, readonly string[]] {
    if (this.#namespace === null) return [program, args];
    return ['ip', ['netns', 'exec', this.#namespace, program, ...args]];
  }

  async kill(): Promise<void> {
    const running = this.#process;
    this.#process = null;
    if (running === null || running.exitCode !== null) return;
    const gone = once(running, 'exit');
    running.kill('SIGKILL');
    await gone;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
