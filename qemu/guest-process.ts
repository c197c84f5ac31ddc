import type { Exit, Reply, Request } from '../guest-image/protocol.ts';
import type { RunResult } from './agent-client.ts';

/** A program running in a guest. */
export class GuestProcess {
  readonly #id: number;
  readonly #send: (request: Request) => void;
  readonly #stdout: Buffer[] = [];
  readonly #stderr: Buffer[] = [];
  readonly #watchers = new Set<() => void>();
  readonly #ended = withResolvers<RunResult>();

  constructor(id: number, send: (request: Request) => void) {
    this.#id = id;
    this.#send = send;
    // Whoever never waits for a background program must not get an unhandled rejection when the VM is killed.
    this.#ended.promise.catch(() => {});
  }

  /** What it has written to standard output so far. */
  get stdout(): string {
    return Buffer.concat(this.#stdout).toString('utf8');
  }

  get stderr(): string {
    return Buffer.concat(this.#stderr).toString('utf8');
  }

  /** Resolves when it has ended. @throws Error when it could not start, or the guest went away. */
  wait(): Promise<RunResult> {
    return this.#ended.promise;
  }

  /**
   * Resolves with the match once standard output matches `pattern`.
   * @throws Error when it ends first or `timeout` milliseconds pass; both say what it wrote.
   */
  async waitFor(pattern: RegExp, timeout = 180_000): Promise<RegExpExecArray> {
    const { promise, resolve, reject } = withResolvers<RegExpExecArray>();
    const check = () => {
      const match = pattern.exec(this.stdout);
      if (match) resolve(match);
      return match !== null;
    };
    const missed = (why: string) =>
      reject(new Error(`${pattern} not seen: ${why}\n${this.stdout}${this.stderr}`));
    const timer = setTimeout(() => missed(`${timeout} ms passed`), timeout);
    this.#watchers.add(check);
    if (!check()) {
      const ended = () => check() || missed('it ended');
      this.#ended.promise.then(ended, ended);
    }
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(check);
    }
  }

  write(input: string | Uint8Array): void {
    this.#send({ op: 'input', id: this.#id, data: Buffer.from(input).toString('base64') });
  }

  /** Closes its standard input. */
  end(): void {
    this.#send({ op: 'input', id: this.#id });
  }

  /** Sends a signal to it and its children. */
  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    this.#send({ op: 'signal', id: this.#id, signal });
  }

  /** Takes one reply of the agent; true when it was the last. */
  take(reply: Reply): boolean {
    if ('stdout' in reply) this.#stdout.push(Buffer.from(reply.stdout, 'base64'));
    if ('stderr' in reply) this.#stderr.push(Buffer.from(reply.stderr, 'base64'));
    for (const check of this.#watchers) check();
    if ('exit' in reply) this.#exit(reply.exit);
    if ('error' in reply) this.fail(new Error(`the guest's agent: ${reply.error}`));
    return 'exit' in reply || 'error' in reply;
  }

  fail(error: Error): void {
    this.#ended.reject(error);
  }

  #exit(exit: Exit): void {
    this.#ended.resolve({ ...exit, stdout: this.stdout, stderr: this.stderr });
  }
}

// Promise.withResolvers is not in Node 20.
function withResolvers<T>() {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
