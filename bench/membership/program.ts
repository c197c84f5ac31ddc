import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** What a program answers: the value, or why there is none. */
export type Answer = { readonly value: unknown } | { readonly error: string };
export interface Request {
  readonly op: string;
  readonly argument?: unknown;
}

/** A Node program of this benchmark that answers requests, one at a time. It ends with this process. */
export class Program {
  readonly #child: ChildProcess;
  readonly #name: string;

  private constructor(name: string, child: ChildProcess) {
    this.#name = name;
    this.#child = child;
  }

  /** Starts plain Node on a bundled file; the first answer comes when it is ready. */
  static start(file: string, args: readonly string[], name: string): Program {
    const stdio = ['ignore', 'ignore', 'inherit', 'ipc'] as const;
    const child = fork(file, [...args], { execArgv: [], stdio: [...stdio] });
    return new Program(name, child);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** @throws Error when the program says why it could not, or ends. */
  async ask<T>(op: string, argument?: unknown): Promise<T> {
    const ended = new AbortController();
    const gone = once(this.#child, 'exit', { signal: ended.signal }).then(
      ([code, signal]) => ({ error: `it ended with ${code ?? signal}` }),
      () => ({ error: 'it is not asked any more' }),
    );
    const answered = once(this.#child, 'message', { signal: ended.signal }).then(
      ([message]) => message as Answer,
      () => ({ error: 'it is not asked any more' }),
    );
    try {
      this.#child.send({ op, argument } satisfies Request);
      const answer = await Promise.race([answered, gone]);
      if ('error' in answer) throw new Error(`${this.#name}: ${op}: ${answer.error}`);
      return answer.value as T;
    } finally {
      ended.abort();
    }
  }

  /** SIGKILL, at once; `kill` waits for the end as well. */
  strike(): void {
    this.#child.kill('SIGKILL');
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.strike();
    await ended;
  }
}
