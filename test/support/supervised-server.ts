import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { ControlClient } from '../../src/host/control/control-client.ts';
import type { RegionStatus } from '../../src/host/index.ts';
import { until } from './protocol/until.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
/** What is in it is two below the checkout, as src/cli is: the addon and package.json are found from there. */
const FOLDER = fileURLToPath(new URL(`../../.cache/ivshmem-${process.pid}/`, import.meta.url));
/** How long an orderly end may take before a teardown kills. */
const ORDERLY_MS = 10_000;
/** Beside VMs whose processors are emulated everything is late. */
const PATIENCE_S = 180;
const PROGRAM = `${FOLDER}main.mjs`;

let bundled: Promise<unknown> | null = null;

/** The program in a few files, of which each command reads its own: it starts several times as fast as its sources. */
export async function bundledServer(): Promise<string> {
  bundled ??= build({
    entryPoints: [MAIN],
    outdir: FOLDER,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    logLevel: 'warning',
    // For coverage: what runs here counts for its sources.
    sourcemap: 'inline',
  }).then(() => process.once('exit', () => rmSync(FOLDER, { recursive: true, force: true })));
  await bundled;
  return PROGRAM;
}

/** What the server of a region says of it. */
export async function serverStatus(socket: string): Promise<RegionStatus> {
  const client = await ControlClient.connect(`${socket}.control`);
  try {
    return (await client.ask({ op: 'status' })).status;
  } finally {
    client.close();
  }
}

/** `ivshmem server` as a program of its own. */
export class ServerProgram {
  readonly process: ChildProcess;
  readonly socket: string;
  /** What it and its servers logged, a JSON object per line. */
  readonly log: Record<string, unknown>[] = [];
  /** What it wrote that is no JSON. */
  readonly complaints: string[] = [];

  /** `socket`: where its region is, also when `args` name a configuration file. */
  private constructor(socket: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.socket = socket;
    const where = args.includes('--config') ? [] : ['--socket', socket];
    const command = [PROGRAM, 'server', ...where, ...args];
    this.process = spawn(process.execPath, command, { stdio: ['ignore', 'ignore', 'pipe'], env });
    let rest = '';
    this.process.stderr!.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        if (line.startsWith('{')) this.log.push(JSON.parse(line));
        else this.complaints.push(line);
      }
    });
  }

  static async start(socket: string, ...args: readonly string[]): Promise<ServerProgram> {
    await bundledServer();
    const { NODE_OPTIONS: _, NOTIFY_SOCKET: _2, ...env } = process.env;
    const program = new ServerProgram(socket, args, env);
    await program.logs(args.includes('--supervised') ? 'the server serves' : 'listening');
    return program;
  }

  /** Waits until it has logged this `times` times. */
  async logs(message: string, times = 1): Promise<void> {
    const logged = () => {
      if (this.process.exitCode !== null) throw new Error(`the program ended: ${this.complaints.join('\n')}`);
      return this.count(message) >= times;
    };
    await until(
      `"${message}" in the log of ${this.socket}: ${this.complaints.join('\n')}`,
      logged,
      PATIENCE_S,
    );
  }

  count(message: string): number {
    return this.log.filter(({ msg }) => msg === message).length;
  }

  /** Process ID of the server that serves now, of a supervised program. */
  get serving(): number {
    return Number(this.log.findLast(({ msg }) => msg === 'the server serves')!.pid);
  }

  /** Kills the server that serves, and waits until the next one does. */
  async killServer(): Promise<void> {
    const times = this.count('the server serves');
    process.kill(this.serving, 'SIGKILL');
    await this.logs('the server serves', times + 1);
  }

  status(): Promise<RegionStatus> {
    return serverStatus(this.socket);
  }

  /** Ends it in order; its exit status. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.#running) {
      const exit = once(this.process, 'exit');
      this.process.kill(signal);
      await exit;
    }
    return this.process.exitCode;
  }

  /**
   * For teardown: ends it however it is. A supervisor that is killed leaves its server serving, as it should, so that an orderly end
   * is tried first.
   */
  async end(): Promise<void> {
    const late = setTimeout(() => {
      if (this.count('the server serves') > 0) kill(this.serving);
      this.process.kill('SIGKILL');
    }, ORDERLY_MS);
    await this.stop();
    clearTimeout(late);
  }

  get #running(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
