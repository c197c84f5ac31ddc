import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { announced } from '../contestants/pair.ts';
import { Pair, type PairWords } from './pair.ts';
import type { Pairs } from './schedule.ts';

/** Bundled programs, by path. */
export interface Programs {
  readonly end: string;
  readonly http: string;
  /** What `--import ivshmem/transparent` loads. */
  readonly transparent: string;
  readonly server: string;
}

const CHANNELS = 64;
const LOOPBACK = '127.0.0.1';
/**
 * What an HTTP pair is taught before its only sample. V8 needs over a second of requests to compile a server and a client, and three
 * times as long where its own threads share the processor: until then every request costs what an interpreter costs.
 */
const lesson = { op: 'load', ms: 200, warmUpMs: 4000 };

/** The pairs of one round between two processes of this host, and the server of the region that ours are in. */
export class NativePairs implements Pairs, AsyncDisposable {
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'bench-sockets-'));
  readonly #region = path.join(this.#folder, 'region');
  readonly #pairs = new Map<string, Promise<Pair>>();
  readonly #running = new Set<Pair>();
  readonly #cpus: readonly [number, number];
  readonly #programs: Programs;
  readonly #nodeFlags: readonly string[];
  #server: ChildProcess | null = null;
  #count = 0;

  private constructor(programs: Programs, cpus: readonly [number, number], nodeFlags: readonly string[]) {
    this.#programs = programs;
    this.#cpus = cpus;
    this.#nodeFlags = nodeFlags;
  }

  /** @throws Error when the server does not start. */
  static async start(
    programs: Programs,
    cpus: readonly [number, number],
    nodeFlags: readonly string[] = [],
  ): Promise<NativePairs> {
    const pairs = new NativePairs(programs, cpus, nodeFlags);
    const args = [programs.server, '--address', pairs.#region, '--channels', String(CHANNELS)];
    // Not pinned: no byte of a stream passes through it.
    pairs.#server = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    await announced(pairs.#server);
    return pairs;
  }

  get pids(): readonly number[] {
    const server = this.#server?.exitCode === null ? [this.#server.pid!] : [];
    return [...server, ...[...this.#running].flatMap(({ pids }) => pids)];
  }

  get(name: string): Promise<Pair> {
    let pair = this.#pairs.get(name);
    if (pair === undefined) {
      pair = Pair.start(name, this.#words(name), this.#cpus).then(async (started) => {
        this.#running.add(started);
        if (name.startsWith('http-')) await started.ask(lesson);
        return started;
      });
      this.#pairs.set(name, pair);
    }
    return pair;
  }

  async drop(name: string): Promise<void> {
    const pair = await this.#pairs.get(name)?.catch(() => null);
    this.#pairs.delete(name);
    if (pair) await this.#stop(pair);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running].map((pair) => this.#stop(pair)));
    const server = this.#server;
    if (server !== null && server.exitCode === null && server.signalCode === null) {
      const ended = once(server, 'exit');
      server.kill('SIGTERM');
      await ended;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #stop(pair: Pair): Promise<void> {
    await pair.stop();
    this.#running.delete(pair);
  }

  #words(name: string): PairWords {
    const [what, way] = name.startsWith('http-') ? ['http', name.slice(5)] : ['end', name];
    const ours = way === 'ours';
    const transparent = what === 'http' && ours ? ['--import', this.#programs.transparent] : [];
    const program = [...this.#nodeFlags, ...transparent, this.#programs[what as 'http' | 'end']];
    const at = way === 'unix' ? path.join(this.#folder, `unix-${this.#count++}`) : `${LOOPBACK}:0`;
    const module = ours
      ? ['--module', 'ivshmem/net', '--region', this.#region, '--addresses', LOOPBACK]
      : ['--module', 'net'];
    const flags = what === 'end' ? module : ours ? ['--path', 'shared-memory'] : [];
    return {
      answer: [...program, 'answer', ...flags, '--at', at],
      measure: (where) => [...program, 'measure', ...flags, '--at', where],
      ...(what === 'http' && ours
        ? { env: { IVSHMEM_SOCKET: this.#region, IVSHMEM_ADDRESSES: LOOPBACK } }
        : {}),
    };
  }
}
