import { type ChildProcess, spawn } from 'node:child_process';
import xterm from '@xterm/headless';

/** A program in a terminal of its own (a pty made by script(1)), and a terminal emulator that shows what it draws. */
export class Pty {
  readonly #child: ChildProcess;
  readonly #terminal: InstanceType<typeof xterm.Terminal>;
  readonly #ended: Promise<number | null>;
  #drawn: Promise<void> = Promise.resolve();
  /** Everything the terminal was sent. */
  raw = '';

  /** `command`: for a shell. */
  constructor(command: string, rows: number, columns: number, env: NodeJS.ProcessEnv = {}) {
    this.#terminal = new xterm.Terminal({ rows, cols: columns, allowProposedApi: true });
    this.#child = spawn('script', ['-qefc', `stty rows ${rows} cols ${columns}; ${command}`, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, TERM: 'xterm-256color', FORCE_COLOR: '2', ...env },
    });
    this.#child.stdout!.on('data', (chunk: Buffer) => {
      this.raw += chunk.toString('latin1');
      const drawn = new Promise<void>((resolve) => this.#terminal.write(chunk, resolve));
      this.#drawn = Promise.all([this.#drawn, drawn]).then(() => {});
    });
    this.#ended = new Promise((resolve) => this.#child.on('close', resolve));
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** The terminal's screen buffer. */
  get buffer() {
    return this.#terminal.buffer.active;
  }

  /** What the screen shows, trailing spaces left out. */
  text(): string {
    const { buffer } = this;
    const lines: string[] = [];
    for (let row = 0; row < this.#terminal.rows; row++) {
      lines.push(buffer.getLine(buffer.viewportY + row)?.translateToString(true) ?? '');
    }
    return lines.join('\n').trimEnd();
  }

  type(keys: string): void {
    this.#child.stdin!.write(keys);
  }

  /** The emulator's own size; tell the pty with stty. */
  resize(rows: number, columns: number): void {
    this.#terminal.resize(columns, rows);
  }

  /** Waits until the screen shows it; throws with the screen after `deadlineMs`. */
  async shows(pattern: RegExp, deadlineMs = 20_000): Promise<string> {
    const deadline = Date.now() + deadlineMs;
    for (;;) {
      await this.#drawn;
      const text = this.text();
      if (pattern.test(text)) return text;
      if (Date.now() > deadline) throw new Error(`the screen does not show ${pattern}:\n${text}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Exit status of the program. */
  async ended(): Promise<number | null> {
    const code = await this.#ended;
    await this.#drawn;
    return code;
  }

  close(): void {
    this.#child.kill('SIGKILL');
    this.#terminal.dispose();
  }
}
