import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { lacking } from '../../support/native-build.ts';
import { bundledServer } from '../../support/supervised-server.ts';

const main = await bundledServer();
const traffic = fileURLToPath(new URL('./traffic.ts', import.meta.url));
const steering = fileURLToPath(new URL('./steering.ts', import.meta.url));

/** Why there can be no interfaces here, as the reason of a skip; false when there can. */
export function noTun(): string | false {
  if (process.getuid!() !== 0) return 'needs root';
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun';
  const missing = lacking('ip');
  if (missing) return missing;
  const name = `ivshm-probe-${process.pid}`;
  const made = spawnSync('ip', ['netns', 'add', name]);
  if (made.status !== 0) return `network namespaces cannot be made: ${made.stderr}`;
  spawnSync('ip', ['netns', 'delete', name]);
  return false;
}

/** A program that was started, and the lines it said. */
export class Program {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  output = '';
  #more: (() => void)[] = [];

  constructor(command: string, args: readonly string[]) {
    this.child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, IVSHMEM_SOCKET: '' },
    });
    const wake = (): void => {
      for (const more of this.#more.splice(0)) more();
    };
    const take = (piece: Buffer): void => {
      this.output += piece;
      wake();
    };
    this.child.stdout!.on('data', take);
    this.child.stderr!.on('data', take);
    this.ended = new Promise((resolve) =>
      this.child.on('close', (code) => {
        resolve(code);
        wake();
      }),
    );
  }

  /** Resolves when the output from `start` on matches; fails after a minute, or when the program ended. */
  async says(pattern: RegExp, start = 0): Promise<RegExpMatchArray> {
    const deadline = Date.now() + 60_000;
    for (;;) {
      const found = this.output.slice(start).match(pattern);
      if (found) return found;
      if (Date.now() > deadline || this.child.exitCode !== null)
        throw new Error(
          `${this.child.spawnargs.join(' ')} did not say ${pattern}: ${this.output.slice(start)}`,
        );
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1000);
        this.#more.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }
}

/** A network namespace of its own, removed with everything in it when the test ends. */
export class Namespace {
  readonly name: string;

  constructor(t: Test, name: string) {
    this.name = `ivshm-${process.pid}-${name}`;
    this.#must('ip', 'netns', 'add', this.name);
    t.teardown(() => spawnSync('ip', ['netns', 'delete', this.name]));
    this.#must('ip', '-n', this.name, 'link', 'set', 'lo', 'up');
  }

  run(t: Test, ...command: string[]): Program {
    const program = new Program('ip', ['netns', 'exec', this.name, ...command]);
    t.teardown(async () => {
      program.child.kill('SIGKILL');
      await program.ended;
    });
    return program;
  }

  /** `ivshmem tun` as a member of this name. */
  tun(t: Test, socket: string, member: string, ...addresses: string[]): Program {
    const flags = ['--socket', socket, '--member', member, '--address', ...addresses];
    return this.run(t, process.execPath, main, 'tun', ...flags);
  }

  traffic(t: Test, ...words: string[]): Program {
    return this.run(t, process.execPath, '--import', 'tsx', traffic, ...words);
  }

  steering(t: Test): Program {
    return this.run(t, process.execPath, '--import', 'tsx', steering);
  }

  /** What `ip` says here. */
  ip(...words: string[]): string {
    return spawnSync('ip', ['-n', this.name, ...words], { encoding: 'utf8' }).stdout;
  }

  #must(command: string, ...words: string[]): void {
    const { status, stderr } = spawnSync(command, words, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${command} ${words.join(' ')}: ${stderr}`);
  }
}
