import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type { ServerStatus } from '../../../src/host/control/status.ts';

const main = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url));
const DEADLINE_MS = 180_000;

export interface ServedRegion {
  readonly name: string;
  readonly socket: string;
}

/** `ivshmem server` in a process of its own, so that a crash would show. */
export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #log: Record<string, unknown>[] = [];
  #look = (): void => {};

  private constructor(child: ChildProcess) {
    this.#child = child;
    createInterface({ input: child.stderr! }).on('line', (line) => {
      try {
        this.#log.push(JSON.parse(line) as Record<string, unknown>);
      } catch {
        // A crash speaks plain text.
        this.#log.push({ msg: line });
      }
      this.#look();
    });
    child.on('close', () => this.#look());
  }

  /** Starts it with some regions of `size` and waits until it serves. */
  static async start(t: Test, directory: string, regions: readonly ServedRegion[], size: string) {
    const file = join(directory, 'server.toml');
    const tables = regions.map(
      ({ name, socket }) => `[[regions]]\nname = "${name}"\nsocket = "${socket}"\nsize = "${size}"\n`,
    );
    writeFileSync(file, tables.join('\n'));
    const child = spawn(process.execPath, ['--import', 'tsx', main, 'server', '--config', file], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    const server = new ServerProcess(child);
    t.teardown(() => server.stop());
    const listening = () => server.#log.filter(({ msg }) => msg === 'listening').length === regions.length;
    await server.#until(listening, 'listening socket');
    return server;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** What it writes to its log when asked. */
  async status(): Promise<ServerStatus> {
    const answers = () => this.#log.filter(({ msg }) => msg === 'status');
    const before = answers().length;
    this.#child.kill('SIGUSR2');
    await this.#until(() => answers().length > before, 'status');
    return answers().at(-1) as unknown as ServerStatus;
  }

  /** Ends it with SIGTERM. Resolves with the exit status. */
  async stop(): Promise<number | null> {
    if (!this.running) return this.#child.exitCode;
    this.#child.kill('SIGTERM');
    await this.#until(() => !this.running, 'end', true);
    return this.#child.exitCode;
  }

  #until(passes: () => boolean, what: string, ending = false): Promise<void> {
    return new Promise((resolve, reject) => {
      const tail = () => JSON.stringify(this.#log.slice(-3));
      const timer = setTimeout(
        () => reject(new Error(`the server: no ${what} within ${DEADLINE_MS} ms: ${tail()}`)),
        DEADLINE_MS,
      );
      this.#look = () => {
        if (!passes() && (this.running || ending)) return;
        clearTimeout(timer);
        this.#look = () => {};
        if (passes()) resolve();
        else reject(new Error(`the server ended: ${tail()}`));
      };
      this.#look();
    });
  }
}
