import { askPair } from './ask-pair.ts';
import { Asked } from './asked.ts';
import type { EndResult, Ends, Pace, Wanted } from './ends.ts';
import { endWords, type Path, processesOf } from './paths.ts';

export interface RemoteOptions {
  /** What follows `node` to run `runEnd`. */
  readonly program: readonly string[];
  readonly pace: Pace;
  /** Where `ivshmem study answer` runs; its port, and the one after it for TCP. */
  readonly host: string;
  readonly port: number;
  /** Of this machine: a server's socket, a PCI address, or '' for the only device. */
  readonly region: string;
  /** Of this machine, where they are not those of its interfaces. */
  readonly addresses: readonly string[];
  /** Where the measuring side runs. */
  readonly cpu: number;
}

/**
 * Measuring processes of this machine, beside `ivshmem study answer` in another one. A device has one program, so that there is one
 * process at a time; what is said of use is this side's.
 */
export class RemoteEnds implements Ends {
  readonly #options: RemoteOptions;
  #now: { readonly key: string; readonly process: Asked } | undefined;

  constructor(options: RemoteOptions) {
    this.#options = options;
  }

  get pids(): readonly number[] {
    const pid = this.#now?.process.pid;
    return pid === undefined || pid === null ? [] : [pid];
  }

  async take(path: Path, wanted: Wanted): Promise<EndResult> {
    try {
      const process = await this.#process(path);
      const { pace } = this.#options;
      return await askPair(
        (command) => process.ask(command),
        () => this.pids,
        wanted,
        pace,
      );
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { process } = this.#now ?? {};
    this.#now = undefined;
    await process?.stop();
  }

  async #process(path: Path): Promise<Asked> {
    const key = processesOf(path);
    if (this.#now?.key === key) return this.#now.process;
    await this[Symbol.asyncDispose]();
    const { way, wait = 'adaptive' } = path;
    const { program, host, port, cpu, addresses } = this.#options;
    const at = way === 'channel' ? '' : `${host}:${way === 'net' ? port + 1 : port}`;
    const region = way === 'net' ? '' : this.#options.region;
    const words = endWords({ role: 'measure', way, at, region, wait, addresses });
    const process = new Asked(`the measuring side of ${path.name}`, cpu, [...program, ...words]);
    this.#now = { key, process };
    await process.line();
    return process;
  }
}
