import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildPayload } from '../../guest-image/payload.ts';
import type { GuestProcess } from '../../qemu/guest-process.ts';
import { guestProgram, productFiles } from '../../qemu/product.ts';
import { launchVm, type Vm } from '../../qemu/vm.ts';
import type { GuestCommand } from './acks.ts';
import type { Bundles } from './fleet.ts';
import { Program } from './program.ts';

/** How many VMs watch. */
export const vmCount = 3;
const SLOTS = 16;
/** On a busy machine an emulated boot takes minutes. */
const BOOT_MS = 300_000;
/** VMs that boot at the same time: more are slower, and their time limits closer. */
const BOOTS_AT_ONCE = 2;

/** A member in a VM. */
export class Guest {
  readonly name: string;
  readonly #vm: Vm;
  #process: GuestProcess | undefined;
  #done = 0;

  constructor(name: string, vm: Vm) {
    this.name = name;
    this.#vm = vm;
  }

  /** Starts the program, anew after a crash, and waits until it is a member that watches. */
  async start(): Promise<void> {
    this.#done = 0;
    this.#process = await this.#vm.spawn(guestProgram('watch', this.name), { user: 'app' });
    await this.#process.waitFor(/ready\n/, BOOT_MS);
  }

  /** Does not wait. */
  send(command: GuestCommand): void {
    this.#process!.write(`${command}\n`);
    this.#done++;
  }

  /** Resolves when it has done all it was sent. */
  async done(): Promise<void> {
    await this.#process!.waitFor(new RegExp(`(?:done\\n){${this.#done}}`));
  }

  /** Resolves when its process has ended. */
  async ended(): Promise<void> {
    await this.#process!.wait();
  }
}

/** A server, three VMs that watch, a host process that looks at what they store, and one that comes and goes. */
export class Vms {
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'ivshmem-bench-'));
  readonly #socket = path.join(this.#directory, 'region.sock');
  readonly #bundles: Bundles;
  readonly #programs = new Set<Program>();
  readonly #vms: Vm[] = [];
  readonly guests: Guest[] = [];
  /** The full QEMU commands. */
  readonly commands: string[] = [];
  acks!: Program;
  mover!: Program;

  private constructor(bundles: Bundles) {
    this.#bundles = bundles;
  }

  static async start(bundles: Bundles, acks: string, progress: (line: string) => void): Promise<Vms> {
    const vms = new Vms(bundles);
    try {
      await vms.#start(acks, progress);
      return vms;
    } catch (error) {
      await vms.close();
      throw error;
    }
  }

  /** Of the VMs, and of the processes beside them that stay. */
  get pids(): number[] {
    return [...this.#vms.filter((vm) => vm.running).map((vm) => vm.pid), this.acks.pid, this.mover.pid];
  }

  /** Starts a host process without a member. */
  async spare(name: string): Promise<Program> {
    const program = this.#add(Program.start(this.#bundles.member, [this.#socket], name));
    await program.ask('ready');
    return program;
  }

  async close(): Promise<void> {
    await Promise.all(this.#vms.map((vm) => vm.kill()));
    await Promise.all([...this.#programs].map((program) => program.kill()));
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #start(acks: string, progress: (line: string) => void): Promise<void> {
    const server = this.#add(Program.start(this.#bundles.server, [this.#socket, String(SLOTS)], 'server'));
    await server.ask('ready');
    const watch = fileURLToPath(new URL('programs/membership-guest.ts', import.meta.url));
    const payload = await buildPayload(await productFiles({ watch }));
    const names = Array.from({ length: vmCount }, (_, i) => `guest${i}`);
    for (let i = 0; i < vmCount; i += BOOTS_AT_ONCE) {
      const some = names.slice(i, i + BOOTS_AT_ONCE);
      await Promise.all(some.map((name) => this.#boot(name, payload, progress)));
    }
    this.mover = await this.spare('mover');
    this.acks = this.#add(Program.start(acks, [this.#socket], 'acks'));
  }

  async #boot(name: string, payload: string, progress: (line: string) => void): Promise<void> {
    const log = (line: string) =>
      void (line.includes(' -nodefaults ') ? this.commands.push(line) : progress(line));
    const ivshmem = [{ kind: 'doorbell', server: this.#socket, vectors: 1 }] as const;
    const vm = await launchVm({ name, payload, ivshmem, log });
    this.#vms.push(vm);
    await vm.ready(BOOT_MS);
    await vm.check('ivshmem bind --user app', { timeout: BOOT_MS });
    const guest = new Guest(name, vm);
    await guest.start();
    this.guests.push(guest);
  }

  #add(program: Program): Program {
    this.#programs.add(program);
    return program;
  }
}
