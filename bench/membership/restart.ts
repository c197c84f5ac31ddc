import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { shuffled } from '../harness/statistics.ts';
import { now } from './clock.ts';
import type { Gap } from './gaps.ts';
import { Program } from './program.ts';

/** What happens in a window: the server is killed or replaced, nothing, or a server of another region starts. */
export type Event = 'kill' | 'replace' | 'no-restart' | 'unrelated-start';
export const events: readonly Event[] = ['kill', 'replace', 'no-restart', 'unrelated-start'];

export interface RestartSample {
  readonly event: Event;
  readonly round: number;
  /** Longest time between two replies on a channel, milliseconds. */
  readonly dataMs: number;
  /** Longest time between two answers of the server; after a kill from the kill to the first answer. */
  readonly membershipMs: number;
  /** Replies and answers in the window: nobody is quick who does nothing. */
  readonly replies: number;
  readonly answers: number;
}

/** From the begin of a window to the event. */
const BEFORE_MS = 300;
/** After a restart: until the supervisor has a server on standby again, and takes another end for no short life. */
const AFTER_MS = 1200;
/** From when a server says that it serves to its answers: what it found waiting comes first. */
const ANSWER_MS = 300;
/** Longer than compilers take. */
const WARM_UP_MS = 2000;
/** Longest wait for a server to be there. */
const PATIENCE_MS = 30_000;

/** The server as a program with what keeps it, and three members: two exchange messages all the time, one makes requests. */
export class Restarts {
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'ivshmem-bench-'));
  readonly #socket = path.join(this.#directory, 'bench.sock');
  readonly #command: string;
  readonly #windowMs: number;
  readonly #processes = new Set<ChildProcess>();
  #log = '';
  #members: Program[] = [];

  private constructor(command: string, windowMs: number) {
    this.#command = command;
    this.#windowMs = windowMs;
  }

  /** `command`: the bundled `ivshmem`; `exchange`: the bundled member; `windowMs`: how long one measurement lasts. */
  static async start(command: string, exchange: string, windowMs: number): Promise<Restarts> {
    const restarts = new Restarts(command, windowMs);
    try {
      await restarts.#start(exchange);
      return restarts;
    } catch (error) {
      await restarts.close();
      throw error;
    }
  }

  /** A window for each event, in random order. */
  async round(round: number, random: () => number): Promise<RestartSample[]> {
    const samples: RestartSample[] = [];
    for (const event of shuffled(events, random)) samples.push(await this.#sample(event, round));
    return samples;
  }

  async close(): Promise<void> {
    await Promise.all(this.#members.map((member) => member.kill()));
    const ended = [...this.#processes].map((child) => this.#end(child));
    await Promise.all(ended);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #start(exchange: string): Promise<void> {
    this.#server('bench', '--supervised');
    await this.#serving(1);
    const member = async (name: string) => {
      const program = Program.start(exchange, [this.#socket, name], name);
      this.#members.push(program);
      await program.ask('ready');
      return program;
    };
    const answering = await member('answering');
    await answering.ask('answer');
    const asking = await member('asking');
    await asking.ask('exchange');
    const requesting = await member('requesting');
    await requesting.ask('request');
    await delay(WARM_UP_MS);
  }

  async #sample(event: Event, round: number): Promise<RestartSample> {
    const [, asking, requesting] = this.#members;
    await asking!.ask('begin');
    await requesting!.ask('begin');
    const begin = now();
    await delay(BEFORE_MS);
    const at = now();
    const after = await this.#make(event);
    await delay(this.#windowMs - BEFORE_MS);
    await after();
    const data = await asking!.ask<Gap>('end', begin);
    const membership = await requesting!.ask<Gap>('end', event === 'kill' ? at : begin);
    if (event === 'kill' || event === 'replace') await delay(AFTER_MS);
    const counts = { replies: data.replies, answers: membership.replies };
    return { event, round, dataMs: data.ms, membershipMs: membership.ms, ...counts };
  }

  /** Returns what is to be done when the window is over. */
  async #make(event: Event): Promise<() => Promise<void>> {
    if (event === 'no-restart') return async () => {};
    if (event === 'kill') {
      const before = this.#served;
      process.kill(this.#activePid(), 'SIGKILL');
      return () => this.#answering(before + 1);
    }
    if (event === 'unrelated-start') {
      const child = this.#server('other', '--supervised');
      return () => this.#end(child);
    }
    const before = this.#served;
    this.#server('bench', '--supervised', '--replace');
    return () => this.#answering(before + 1);
  }

  #server(name: 'bench' | 'other', ...more: string[]): ChildProcess {
    const socket = path.join(this.#directory, `${name}.sock`);
    const flags = ['--name', name, '--socket', socket, '--size', '64M', '--log', 'info', ...more];
    const child = spawn(process.execPath, [this.#command, 'server', ...flags], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    this.#processes.add(child);
    child.once('exit', () => this.#processes.delete(child));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      if (name === 'bench') this.#log += text;
    });
    return child;
  }

  /** The lines in which a supervisor says that a server serves. */
  get #lines(): string[] {
    return this.#log.split('\n').filter((line) => line.includes('the server serves'));
  }

  /** How often a server has begun to serve. */
  get #served(): number {
    return this.#lines.length;
  }

  #activePid(): number {
    const { pid } = JSON.parse(this.#lines.at(-1)!) as { readonly pid: number };
    return pid;
  }

  async #answering(times: number): Promise<void> {
    await this.#serving(times);
    await delay(ANSWER_MS);
  }

  /** Resolves when a server has begun to serve so many times. */
  async #serving(times: number): Promise<void> {
    for (const deadline = performance.now() + PATIENCE_MS; this.#served < times; ) {
      if (performance.now() > deadline || this.#processes.size === 0)
        throw new Error(`the server did not start: ${this.#log.slice(-2000)}`);
      await delay(20);
    }
  }

  async #ended(child: ChildProcess): Promise<void> {
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }

  async #end(child: ChildProcess): Promise<void> {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
    await this.#ended(child);
    clearTimeout(timer);
  }
}
