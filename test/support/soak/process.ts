import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** What a process holds, as the kernel counts it. */
export interface Holdings {
  readonly fds: number;
  /** Memory that journals take. */
  readonly journalBytes: number;
  /** Memory that is its own, not the regions'. */
  readonly anonymousKiB: number;
}

export function holdings(pid: number): Holdings {
  const directory = `/proc/${pid}/fd`;
  const fds = readdirSync(directory);
  let journalBytes = 0;
  for (const fd of fds) {
    const path = `${directory}/${fd}`;
    // What it takes, not how long it is: a journal has its two halves far apart.
    if (isJournal(path)) journalBytes += statSync(path).blocks * 512;
  }
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return {
    fds: fds.length,
    journalBytes,
    anonymousKiB: Number(/^RssAnon:\s+(\d+)/m.exec(status)![1]),
  };
}

function isJournal(path: string): boolean {
  try {
    return readlinkSync(path).startsWith('/memfd:ivshmem-state-');
  } catch (error) {
    // A descriptor that was closed since it was listed.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return false;
  }
}

/** A program of the soak. `onText` gets what it writes as it comes. */
export class Program {
  readonly child: ChildProcess;
  /** Resolves with the exit status, or null after a signal. */
  readonly ended: Promise<number | null>;
  stderr = '';

  constructor(path: string, words: readonly string[], onText: (text: string) => void) {
    this.child = spawn(process.execPath, [path, ...words], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    this.child.stdin!.on('error', () => {});
    this.child.stdout!.setEncoding('utf8').on('data', onText);
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve) => this.child.once('close', resolve));
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

const ORDER_MS = 60_000;
type Line = Record<string, unknown>;

/** A member that stays (survivor.ts): takes orders, and says if it was harmed. */
export class Survivor {
  readonly name: string;
  readonly program: Program;
  readonly #answers = new Map<number, (line: Line) => void>();
  readonly ready: Promise<Line>;
  #orders = 0;
  /** What happened to it that may not. */
  harmed: string | null = null;

  constructor(path: string, socket: string, name: string, peer: string) {
    this.name = name;
    this.program = new Program(path, [socket, name, peer], () => {});
    this.ready = this.#answer(0, 'start');
    createInterface({ input: this.program.child.stdout! }).on('line', (text) => {
      const line = JSON.parse(text) as Line;
      if ('harmed' in line) this.harmed = String(line.harmed);
      else this.#answers.get(line.ready ? 0 : (line.order as number))?.(line);
    });
    void this.program.ended.then((status) => {
      if (status !== 0) this.harmed ??= `ended with ${status}: ${this.program.stderr}`;
    });
  }

  order<T = Line>(verb: string): Promise<T> {
    const id = ++this.#orders;
    this.program.child.stdin!.write(`${id} ${verb}\n`);
    return this.#answer(id, verb) as Promise<T>;
  }

  #answer(id: number, what: string): Promise<Line> {
    return new Promise((resolve, reject) => {
      const late = `${this.name} did not answer ${what} within ${ORDER_MS} ms`;
      const timer = setTimeout(() => reject(new Error(this.harmed ?? late)), ORDER_MS);
      this.#answers.set(id, (line) => {
        clearTimeout(timer);
        resolve(line);
      });
      void this.program.ended.then(() => {
        clearTimeout(timer);
        reject(new Error(this.harmed ?? `${this.name} ended before it answered ${what}`));
      });
    });
  }
}
