import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';

/** Longest wait for one answer, milliseconds: far above any, so that a hang is told from a busy machine. */
const LIMIT_MS = 90_000;

/** A Node program that is asked in lines, pinned to a processor. It ends with its stdin. */
export class Asked {
  readonly child: ChildProcess;
  readonly #lines: Interface;
  readonly #name: string;
  #errors = '';

  /** `words`: what follows `node`. */
  constructor(
    name: string,
    cpu: number,
    words: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ) {
    this.#name = name;
    const args = ['-c', String(cpu), process.execPath, ...words];
    this.child = spawn('taskset', args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    this.#lines = createInterface({ input: this.child.stdout! });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-2000);
    });
    // Whoever waits for a line hears of the end; writing to a process that has ended is no news then.
    this.child.stdin!.on('error', () => {});
    this.child.on('error', () => {});
  }

  /** Null when it did not start or has ended. */
  get pid(): number | null {
    const { pid, exitCode, signalCode } = this.child;
    return pid === undefined || exitCode !== null || signalCode !== null ? null : pid;
  }

  /** @throws Error when the process ends first, with what it said, or says nothing for long. */
  async line(): Promise<string> {
    const stop = new AbortController();
    const { signal } = stop;
    const silent = AbortSignal.timeout(LIMIT_MS);
    try {
      return await Promise.race([
        once(this.#lines, 'line', { signal }).then(([line]) => line as string),
        once(this.#lines, 'close', { signal }).then(() => {
          throw new Error(`${this.#name} ended: ${this.#errors.trim().split('\n').slice(-6).join(' | ')}`);
        }),
        once(silent, 'abort', { signal }).then(() => {
          throw new Error(`${this.#name} said nothing for ${LIMIT_MS / 1000} s`);
        }),
      ]);
    } finally {
      stop.abort();
    }
  }

  /** Its answer to an object. @throws Error as `line` does. */
  async ask(command: object): Promise<unknown> {
    this.child.stdin!.write(`${JSON.stringify(command)}\n`);
    return JSON.parse(await this.line());
  }

  async stop(): Promise<void> {
    if (this.pid === null) return;
    const ended = once(this.child, 'exit');
    // Its end lets a profiler write; a process that hangs is killed.
    this.child.stdin!.end();
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 3000);
    await ended;
    clearTimeout(timer);
  }
}
