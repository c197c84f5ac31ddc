import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { guestProgram } from '../../../qemu/product.ts';
import type { Vm } from '../../../qemu/vm.ts';
import { until } from '../../support/protocol/until.ts';
import type { LoadReport, Tally } from '../guest/spread-load.ts';
import { JsonLines } from './json-lines.ts';

export const spreadEntry = fileURLToPath(new URL('../guest/spread.ts', import.meta.url));
const DEADLINE_SECONDS = 240;

/** Of all orders; each has some of it. */
interface Answer extends LoadReport {
  readonly order: number;
  readonly code?: string;
  readonly fault?: string;
  readonly created: boolean;
  readonly pageBytes: number;
  /** Bytes of `verify`, pages of `judge`. */
  readonly wrong: number | readonly number[];
  readonly tally: readonly (Tally | null)[];
}

interface End {
  readonly status: number | null;
  readonly signal: string | null;
}

/** The program guest/spread.ts, in a VM or on a host. */
export class SpreadEnd {
  readonly name: string;
  /** Resolves when it has ended, with what it wrote to stderr. */
  readonly ended: Promise<End & { readonly stderr: string }>;
  readonly #lines: JsonLines<Answer>;
  readonly #write: (line: string) => void;
  #orders = 0;
  #end: string | null = null;

  private constructor(
    name: string,
    said: () => string,
    write: (line: string) => void,
    ended: SpreadEnd['ended'],
  ) {
    this.name = name;
    this.#lines = new JsonLines(said);
    this.#write = write;
    this.ended = ended;
    ended.then(
      ({ status, signal, stderr }) => {
        this.#end = `it ended with ${status ?? signal}: ${stderr}`;
      },
      (error: Error) => {
        this.#end = error.message;
      },
    );
  }

  /** As the unprivileged user `app`, in a VM whose device is bound. */
  static async inVm(vm: Vm, name: string): Promise<SpreadEnd> {
    const running = vm.spawn(guestProgram('spread', name), { user: 'app' });
    const end = new SpreadEnd(
      name,
      () => running.stdout,
      (line) => running.write(line),
      running.wait(),
    );
    await end.#ready();
    return end;
  }

  /** A member on a host. `child` is the caller's to end. */
  static async onHost(socket: string, name: string): Promise<{ end: SpreadEnd; child: ChildProcess }> {
    const child = spawn(process.execPath, ['--import', 'tsx', spreadEntry, name], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '', IVSHMEM_SOCKET: socket },
    });
    let [said, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    // It may end before it has read all it was told.
    child.stdin.on('error', () => {});
    const ended = once(child, 'close').then(([status, signal]) => ({ status, signal, stderr }));
    const end = new SpreadEnd(
      name,
      () => said,
      (line) => child.stdin.write(line),
      ended,
    );
    await end.#ready();
    return { end, child };
  }

  /** Gives an order without waiting for what it answers. */
  tell(...words: readonly (string | number)[]): number {
    const order = ++this.#orders;
    this.#write(`${[order, ...words].join(' ')}\n`);
    return order;
  }

  /** Resolves with the answer; rejects when it is an error, with its code. */
  async order(...words: readonly (string | number)[]): Promise<Answer> {
    const order = this.tell(...words);
    let found: Answer | undefined;
    await this.#until(words.join(' '), () => {
      found = this.#lines.all.find((line) => line.order === order);
      return found !== undefined;
    });
    const { code, fault } = found!;
    if (fault !== undefined)
      throw Object.assign(new Error(`${this.name}: ${words.join(' ')}: ${fault}`), { code });
    return found!;
  }

  /** Opens a space as soon as its host has found the others, which takes as long as the machine lets it. */
  async open(space: string, bytes: number): Promise<Answer> {
    let opened: Answer | undefined;
    await until(
      `${this.name} opens ${space}`,
      async () => {
        opened = await this.order('open', space, bytes).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== 'ERR_IVSHMEM_REFUSED') throw error;
          return undefined;
        });
        return opened !== undefined;
      },
      DEADLINE_SECONDS,
    );
    return opened!;
  }

  async #ready(): Promise<void> {
    await this.#until('ready', () => this.#lines.all.length > 0);
  }

  async #until(what: string, holds: () => boolean): Promise<void> {
    const look = (): boolean => {
      if (holds()) return true;
      if (this.#end !== null) throw new Error(`${this.name}: ${what}: ${this.#end}`);
      return false;
    };
    await until(`${this.name}: ${what}`, look, DEADLINE_SECONDS);
  }
}
