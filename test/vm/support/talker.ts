import type { GuestProcess } from '../../../qemu/guest-process.ts';
import type { Vm } from '../../../qemu/vm.ts';
import { type Fleet, type HostMember, member } from './fleet.ts';

export type Line = Record<string, unknown>;

/** On a busy machine, with every processor emulated, an order that takes a second may take a minute. */
const DEADLINE_MS = 180_000;

/** How often `hold` tells that it goes on (guest/services.ts). */
const ROUNDS_A_LINE = 20;

export interface TalkerOptions {
  readonly wait?: 'adaptive' | 'interrupt';
  /** Of another region than the fleet's, for a process of the host. */
  readonly socket?: string | undefined;
  /** More environment, for a program in a VM. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A member that does what it is told (test/vm/guest/talk.ts): a program in a VM, or a process of this machine. */
export class Talker {
  readonly name: string;
  readonly #process: GuestProcess | HostMember;
  #orders = 0;

  private constructor(name: string, process: GuestProcess | HostMember) {
    this.name = name;
    this.#process = process;
  }

  /** Starts one as the unprivileged user `app` in a VM whose device is bound. */
  static async inVm(
    vm: Vm,
    name: string,
    { wait = 'adaptive', env = {} }: TalkerOptions = {},
  ): Promise<Talker> {
    const talker = new Talker(name, vm.spawn(member('talk', name, wait), { user: 'app', env }));
    await talker.line(/"ready":true/);
    return talker;
  }

  static async onHost(
    fleet: Fleet,
    name: string,
    { wait = 'adaptive', socket }: TalkerOptions = {},
  ): Promise<Talker> {
    const talker = new Talker(name, fleet.hostMember(['talk', name, wait], socket));
    await talker.line(/"ready":true/);
    return talker;
  }

  /** Its slot and backend, as it told at the start. */
  async ready(): Promise<Line> {
    return this.line(/"ready":true/);
  }

  /** Resolves with the first line that matches. */
  async line(pattern: RegExp, timeout = DEADLINE_MS): Promise<Line> {
    const { source } = pattern;
    if (!('stdout' in this.#process))
      return this.#process.line((line) => pattern.test(JSON.stringify(line)), timeout);
    const [line] = await this.#process.waitFor(new RegExp(`^.*${source}.*$`, 'm'), timeout);
    return JSON.parse(line) as Line;
  }

  /** All it has said. */
  get said(): Line[] {
    if (!('stdout' in this.#process)) return this.#process.lines;
    const whole = this.#process.stdout.split('\n').slice(0, -1);
    return whole.filter((line) => line !== '').map((line) => JSON.parse(line) as Line);
  }

  /** Gives an order. Resolves with its answer, which has `failed` (and `code`) when the member could not. */
  order(...words: readonly (string | number)[]): Promise<Line> {
    const order = ++this.#orders;
    const line = `${[order, ...words].join(' ')}\n`;
    if ('stdout' in this.#process) this.#process.write(line);
    else this.#process.child.stdin!.write(line);
    return this.line(new RegExp(`"order":${order}[,}]`));
  }

  /** Resolves with the exit status, null after a signal. */
  async ended(): Promise<number | null> {
    if (!('stdout' in this.#process)) return this.#process.ended;
    return (await this.#process.wait()).status;
  }

  /** Resolves when its `hold` of a peer has made more round trips than it has now. */
  async goesOn(peer: string): Promise<Line> {
    const rounds = this.said.filter(({ holding }) => holding === peer).length * ROUNDS_A_LINE;
    return this.line(new RegExp(`"holding":"${peer}","rounds":${rounds + ROUNDS_A_LINE}}`));
  }

  /** SIGKILL. Resolves when it is gone. */
  async kill(): Promise<void> {
    if (!('stdout' in this.#process)) return this.#process.kill();
    this.#process.kill('SIGKILL');
    await this.#process.wait();
  }
}
