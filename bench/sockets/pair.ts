import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import type { Reply, Taken } from './commands.ts';

/** How the two processes of a pair are started: words after `node`. */
export interface PairWords {
  readonly answer: readonly string[];
  /** `where` is the first line that the answering side prints. */
  readonly measure: (where: string) => readonly string[];
  /** Of both, beside this process's own. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Longest wait for one answer, milliseconds: far above any, so that a hang is told from a busy machine. */
const LIMIT_MS = 90_000;

/** A process that is asked in lines. */
class End {
  readonly child: ChildProcess;
  readonly #lines: Interface;
  readonly #name: string;
  #errors = '';

  constructor(name: string, cpu: number, words: readonly string[], env: PairWords['env'] = {}) {
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

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null || this.child.pid === undefined)
      return;
    const ended = once(this.child, 'exit');
    // Its end lets a profiler write; a process that hangs is killed.
    this.child.stdin!.end();
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 3000);
    await ended;
    clearTimeout(timer);
  }
}

/** Two processes, each on a CPU of its own, of which the first answers and the second measures. */
export class Pair {
  readonly #answer: End;
  #measure: End | null = null;

  private constructor(answer: End) {
    this.#answer = answer;
  }

  /** @throws Error with what a process said that did not start. */
  static async start(
    name: string,
    words: PairWords,
    [measuring, answering]: readonly [number, number],
  ): Promise<Pair> {
    const pair = new Pair(new End(`the answering side of ${name}`, answering, words.answer, words.env));
    try {
      const where = await pair.#answer.line();
      pair.#measure = new End(`the measuring side of ${name}`, measuring, words.measure(where), words.env);
      await pair.#measure.line();
      return pair;
    } catch (error) {
      await pair.stop();
      throw error;
    }
  }

  /** Of what runs. */
  get pids(): number[] {
    return [this.#answer, this.#measure].flatMap((end) =>
      end?.child.pid !== undefined && end.child.exitCode === null ? [end.child.pid] : [],
    );
  }

  /** @throws Error when there is no answer, or it is an error. */
  async ask(command: object): Promise<Taken> {
    this.#measure!.child.stdin!.write(`${JSON.stringify(command)}\n`);
    const reply = JSON.parse(await this.#measure!.line()) as Reply;
    if ('error' in reply) throw new Error(reply.error);
    if (!(reply.value.value > 0)) throw new Error('no result');
    return reply.value;
  }

  async stop(): Promise<void> {
    await Promise.all([this.#measure?.stop(), this.#answer.stop()]);
  }
}
