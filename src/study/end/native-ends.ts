import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Region } from '../../channel/index.ts';
import { open } from '../../channel/open.ts';
import { createServer, type IvshmemServer } from '../../host/index.ts';
import { askPair } from './ask-pair.ts';
import { Asked } from './asked.ts';
import type { EndResult, Ends, Pace, Wanted } from './ends.ts';
import { endWords, type Path, processesOf, tcp } from './paths.ts';
import type { EndOptions } from './run-end.ts';

export const REGION_BYTES = 128 << 20;
const CHANNELS = 64;
/** Members that a crowd may have, and those that measure. */
const SLOTS = 80;
const LOOPBACK = '127.0.0.1';

export interface NativeOptions {
  /** What follows `node` to run `runEnd`. */
  readonly program: readonly string[];
  /** Where the measuring and the answering side run. */
  readonly cpus: readonly [number, number];
  readonly pace: Pace;
  /** What the region's memory is; memfd unless said otherwise. */
  readonly memory?: 'memfd' | 'hugepages';
  /** Interrupt vectors of a member; 2 unless said otherwise. */
  readonly vectors?: number;
}

interface Pair {
  /** Where the answering side listens. */
  readonly at: string;
  readonly answer: Asked;
  readonly measure: Asked;
}

/** Pairs of processes of this host, each made when it is first asked for, and a server in this process, through which no byte passes. */
export class NativeEnds implements Ends {
  readonly #options: NativeOptions;
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'ivshmem-study-'));
  readonly #pairs = new Map<string, Promise<Pair>>();
  readonly #running = new Set<Asked>();
  #server: IvshmemServer | undefined;
  #count = 0;

  private constructor(options: NativeOptions) {
    this.#options = options;
  }

  /** @throws IvshmemError when the server does not start. */
  static async open(options: NativeOptions): Promise<NativeEnds> {
    const ends = new NativeEnds(options);
    const { memory = 'memfd', vectors = 2 } = options;
    const sizes = { size: REGION_BYTES, channels: CHANNELS, slots: SLOTS };
    try {
      ends.#server = await createServer({
        regions: [{ name: 'study', socket: ends.#region, ...sizes, memory, vectors }],
      });
      return ends;
    } catch (error) {
      await ends[Symbol.asyncDispose]();
      throw error;
    }
  }

  get pids(): readonly number[] {
    return [...this.#running].flatMap(({ pid }) => pid ?? []);
  }

  async take(path: Path, wanted: Wanted): Promise<EndResult> {
    const key = processesOf(path);
    // Who answers over TCP and is in no region is elsewhere, as far as a path can tell.
    const remoteAt = wanted.remote === undefined ? {} : { remoteAt: (await this.#pair(tcp)).at };
    const pair = this.#pair(path);
    try {
      const { answer, measure } = await pair;
      const pids = () => [answer, measure].flatMap(({ pid }) => pid ?? []);
      const how = { ...wanted, ...remoteAt, ...(path.onread === true ? { onread: true } : {}) };
      return await askPair((command) => measure.ask(command), pids, how, this.#options.pace);
    } catch (error) {
      this.#pairs.delete(key);
      const failed = await pair.catch(() => null);
      if (failed !== null) await this.#stop([failed.measure, failed.answer]);
      throw error;
    }
  }

  /** So many members that do nothing, in this process, until the result is disposed of. */
  async crowd(count: number): Promise<AsyncDisposable> {
    const regions: Region[] = [];
    const end = async (): Promise<void> => void (await Promise.all(regions.map((one) => one.close())));
    try {
      for (let i = 0; i < count; i++)
        regions.push(await open({ socket: this.#region, name: `idle-${this.#count++}` }));
    } catch (error) {
      await end();
      throw error;
    }
    return { [Symbol.asyncDispose]: end };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop([...this.#running]);
    await this.#server?.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #pair(path: Path): Promise<Pair> {
    const key = processesOf(path);
    let pair = this.#pairs.get(key);
    if (pair === undefined) {
      pair = this.#start(path);
      this.#pairs.set(key, pair);
    }
    return pair;
  }

  get #region(): string {
    return path.join(this.#folder, 'region');
  }

  async #start(path: Path): Promise<Pair> {
    const [measuring, answering] = this.#options.cpus;
    const answer = this.#spawn(
      'answer',
      path,
      path.together === true ? measuring : answering,
      this.#at(path),
    );
    try {
      const where = await answer.line();
      const measure = this.#spawn('measure', path, measuring, where);
      await measure.line();
      return { at: where, answer, measure };
    } catch (error) {
      await this.#stop([...this.#running].filter((one) => one === answer || one.pid === null));
      throw error;
    }
  }

  #at({ way, over }: Path): string {
    if (way === 'channel') return '';
    return over === 'unix' ? path.join(this.#folder, `unix-${this.#count++}`) : `${LOOPBACK}:0`;
  }

  #spawn(role: EndOptions['role'], path: Path, cpu: number, at: string): Asked {
    const { name, way, wait = 'adaptive', ringAlways = false } = path;
    const region = way === 'net' ? '' : this.#region;
    const addresses = way === 'shared-memory' ? [LOOPBACK] : [];
    const words = endWords({
      role,
      way,
      at: way === 'channel' ? '' : at,
      region,
      wait,
      addresses,
      ringAlways,
    });
    const side = role === 'answer' ? 'answering' : 'measuring';
    const process = new Asked(`the ${side} side of ${name}`, cpu, [...this.#options.program, ...words]);
    this.#running.add(process);
    return process;
  }

  async #stop(processes: readonly Asked[]): Promise<void> {
    await Promise.all(processes.map((one) => one.stop()));
    for (const one of processes) this.#running.delete(one);
  }
}
