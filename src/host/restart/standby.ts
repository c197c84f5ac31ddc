import { type ChildProcess, spawn } from 'node:child_process';
import type { Link } from '../sockets/link.ts';
import { sendParcel } from './parcel.ts';

/** Of a server to its supervisor: it is loaded and waits for the word. */
export const WARM = 1;

/** One server process under a supervisor: first on standby, loaded and waiting, then serving. */
export class ServerProcess {
  readonly process: ChildProcess;
  #link: Link | null = null;
  /** It has said that it is loaded. */
  warm = false;
  /** When it was given the word, milliseconds of performance.now(); null on standby. */
  since: number | null = null;
  /** It serves. */
  ready = false;

  constructor(command: readonly [program: string, ...args: string[]], env: NodeJS.ProcessEnv) {
    const [program, ...args] = command;
    this.process = spawn(program, args, { env, stdio: ['ignore', 'inherit', 'inherit'] });
  }

  get pid(): number {
    return this.process.pid ?? -1;
  }

  /** The connection that it made to its supervisor. */
  attach(link: Link): void {
    this.#link?.close();
    this.#link = link;
  }

  /** The word: it shall serve, with what is kept. */
  serve(kept: ReadonlyMap<string, number>): void {
    this.since = performance.now();
    sendParcel(this.#link!, kept);
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }

  close(): void {
    this.#link?.close();
    this.#link = null;
  }
}
