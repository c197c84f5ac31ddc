import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Bridge } from '../../../qemu/network.ts';
import { guestProgram } from '../../../qemu/product.ts';
import type { Vm } from '../../../qemu/vm.ts';
import { until } from '../../support/protocol/until.ts';
import type { Talked } from '../guest/migrant-load.ts';
import { JsonLines } from './json-lines.ts';

export const migrantEntry = fileURLToPath(new URL('../guest/migrant.ts', import.meta.url));
const DEADLINE_SECONDS = 240;
/** Between two looks: who is looked at has an emulated processor, and other things to do. */
const LOOK_MS = 250;

/** What it says. */
interface Line {
  readonly order?: number;
  readonly ready?: true;
  readonly fault?: string;
  readonly path?: 'tcp' | 'shared-memory';
  readonly reason?: string;
  readonly talks?: readonly Talked[];
}

/** A program that serves and loads (guest/migrant.ts), in a VM or on a host. */
export class Migrant {
  readonly name: string;
  readonly #said: () => string;
  readonly #lines: JsonLines<Line>;
  readonly #write: (line: string) => void;
  #orders = 0;

  private constructor(name: string, said: () => string, write: (line: string) => void) {
    this.name = name;
    this.#said = said;
    this.#lines = new JsonLines(said);
    this.#write = write;
  }

  /** As the unprivileged user `app`, in a VM whose device at a PCI address is bound or will be. */
  static async inVm(vm: Vm, name: string, device: string): Promise<Migrant> {
    const env = { IVSHMEM_NAME: name, IVSHMEM_TLS: 'all', IVSHMEM_DEVICE: device };
    const process = vm.spawn(guestProgram('migrant'), { user: 'app', env });
    let ended = '';
    process.wait().then(
      ({ status, stderr }) => {
        ended = `{"fault":${JSON.stringify(`ended with ${status}: ${stderr}`)}}\n`;
      },
      () => {},
    );
    const migrant = new Migrant(
      name,
      () => process.stdout + ended,
      (line) => process.write(line),
    );
    await migrant.#ready();
    return migrant;
  }

  /** A process inside the namespace of a host, with the host's own address. */
  static async onHost(
    bridge: Bridge,
    socket: string,
    name: string,
    address: string,
  ): Promise<{ migrant: Migrant; child: ChildProcess }> {
    const words = ['netns', 'exec', bridge.namespace, process.execPath, '--import', 'tsx', migrantEntry];
    const env = { ...process.env, NODE_OPTIONS: '', IVSHMEM_SOCKET: socket };
    const child = spawn('ip', words, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...env, IVSHMEM_NAME: name, IVSHMEM_ADDRESSES: address, IVSHMEM_TLS: 'all' },
    });
    let said = '';
    createInterface({ input: child.stdout! }).on('line', (line) => {
      said += `${line}\n`;
    });
    const migrant = new Migrant(
      name,
      () => said,
      (line) => child.stdin!.write(line),
    );
    await migrant.#ready();
    return { migrant, child };
  }

  /** What went wrong in it, by its own account. */
  get faults(): string[] {
    return this.#lines.all.flatMap(({ fault }) => (fault === undefined ? [] : [fault]));
  }

  async order(...words: string[]): Promise<Line> {
    const order = ++this.#orders;
    this.#write(`${[order, ...words].join(' ')}\n`);
    const answer = (): Line | undefined => this.#lines.all.find((line) => line.order === order);
    await this.#until(`the answer to ${words.join(' ')}`, () => answer() !== undefined);
    return answer()!;
  }

  async look(): Promise<readonly Talked[]> {
    return (await this.order('look')).talks!;
  }

  /** Resolves when all its connections are on that path, and have gone on since. */
  async on(path: 'tcp' | 'shared-memory'): Promise<void> {
    let before: readonly Talked[] | null = null;
    const goesOn = (talks: readonly Talked[]): boolean => {
      if (talks.some(({ paths }) => paths.length === 0 || paths.some((each) => each !== path))) return false;
      before ??= talks;
      return talks.every(({ rounds }, i) => rounds > before![i]!.rounds + 3);
    };
    await this.#until(`${this.name} on ${path}`, async () => {
      if (goesOn(await this.look())) return true;
      await delay(LOOK_MS);
      return false;
    });
  }

  async #ready(): Promise<void> {
    await this.#until(`${this.name} ready`, () => this.#lines.all.some(({ ready }) => ready));
  }

  async #until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    await until(
      what,
      () => {
        if (this.faults.length > 0) throw new Error(`${this.name}: ${this.faults.join('\n')}`);
        return holds();
      },
      DEADLINE_SECONDS,
    ).catch((error: Error) => {
      const lines = this.#said().split('\n').slice(0, -1);
      const changes = lines.filter((line) => !line.startsWith('{"order":')).slice(-40);
      const last = [...changes, ...lines.slice(-2)].join('\n');
      throw new Error(`${error.message}; it said last:\n${last}`, { cause: error });
    });
  }
}
