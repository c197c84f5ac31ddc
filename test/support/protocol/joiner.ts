import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { until } from './until.ts';

const source = fileURLToPath(new URL('./joiner.c', import.meta.url));

export interface JoinerProgram {
  readonly path: string;
  remove(): void;
}

/** Compiles the client into a directory of its own. */
export function buildJoiner(): JoinerProgram {
  const directory = mkdtempSync(join(tmpdir(), 'ivshmem-joiner-'));
  const path = join(directory, 'joiner');
  execFileSync('cc', ['-std=gnu11', '-O1', '-Wall', '-Werror', '-o', path, source], { stdio: 'inherit' });
  return { path, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

/** Messages of a handshake: version, ID, memory, and every slot's vectors. */
export function handshakeMessages(slots: number, vectors: number): number {
  return 3 + slots * vectors;
}

/** A client process; see joiner.c for the modes. */
export class Joiner {
  readonly process: ChildProcessByStdio<Writable, Readable, null>;
  #output = '';

  constructor(program: JoinerProgram, mode: string, socket: string, messages: number) {
    this.process = spawn(program.path, [mode, socket, `${messages}`], { stdio: ['pipe', 'pipe', 'ignore'] });
    this.process.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text;
    });
    this.process.stdin.on('error', () => {});
  }

  get running(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** Lets a `late` client read. */
  proceed(): void {
    this.process.stdin.write('\n');
  }

  /** Waits until the handshake was taken. */
  async joined(): Promise<{ id: number; fds: number }> {
    await until('the client has taken the handshake', () => this.#output.includes('\n') || !this.running);
    const match = /^id=(\d+) fds=(\d+)$/m.exec(this.#output);
    if (match === null) throw new Error(`the client ended with ${this.process.exitCode}`);
    return { id: Number(match[1]), fds: Number(match[2]) };
  }

  async ended(): Promise<void> {
    if (this.running) await once(this.process, 'exit');
  }

  /** SIGKILL, and waits for the end. Idempotent. */
  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.ended();
  }
}
