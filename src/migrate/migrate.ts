import { setTimeout as delay } from 'node:timers/promises';
import { IvshmemError, isIvshmemError } from '../errors/index.ts';
import { ControlClient } from '../host/control-client.ts';
import { controlPath } from '../host/control-path.ts';
import { type MigrateOptions, makePlan, type Plan } from './plan.ts';
import { Qmp } from './qmp.ts';
import { transfer } from './transfer.ts';
import { QemuVm, whyOf } from './vm.ts';

/** How long a QEMU may take from the end of a migration until it says that its guest goes on, milliseconds. */
const SETTLE_MS = 10_000;
const LOOK_MS = 20;

/** One line of progress: the step, and what there is to say of it. */
export type Tell = (step: 'check' | 'drain' | 'unplug' | 'migrate' | 'plug' | 'return', text: string) => void;

/** What was done, and how long each step took, milliseconds. */
export interface MigrationReport {
  readonly device: string;
  /** Null: no program in the guest had the device. */
  readonly member: { readonly slot: number; readonly epoch: number; readonly name: string } | null;
  readonly uri: string;
  /** Channels that were left after draining; null when there was no member. */
  readonly channels: number | null;
  readonly drainMs: number;
  readonly unplugMs: number;
  readonly migrateMs: number;
  /** While no guest ran, by QEMU's account. */
  readonly downtimeMs: number | null;
  readonly transferredBytes: number | null;
  readonly plugMs: number;
}

/**
 * A connection to both QEMUs of a migration. `check` looks and changes nothing; `run` has the member's connections leave shared
 * memory, unplugs the device, migrates, and plugs the device in at the destination.
 */
export class Migration {
  readonly #options: MigrateOptions;
  readonly #source: QemuVm;
  readonly #pid: number | null;
  readonly #destination: QemuVm;
  readonly #signal: AbortSignal;
  readonly #tell: Tell;

  private constructor(
    options: MigrateOptions,
    source: { qmp: Qmp; pid: number | null },
    destination: Qmp,
    tell: Tell,
    signal: AbortSignal,
  ) {
    this.#options = options;
    this.#source = new QemuVm(source.qmp, signal);
    this.#pid = source.pid;
    this.#destination = new QemuVm(destination, signal);
    this.#tell = tell;
    this.#signal = signal;
  }

  /**
   * Connects to the QMP sockets. `signal`: goes back to where the guest was, for as long as that can be done. Throws
   * ERR_IVSHMEM_QMP_CONNECT.
   */
  static async open(
    options: MigrateOptions,
    qmp: { readonly source: string; readonly destination: string },
    tell: Tell,
    signal: AbortSignal,
  ): Promise<Migration> {
    const source = await Qmp.connect(qmp.source);
    try {
      const destination = await Qmp.connect(qmp.destination);
      return new Migration(options, source, destination.qmp, tell, signal);
    } catch (error) {
      source.qmp.close();
      throw error;
    }
  }

  /** Throws ERR_IVSHMEM_MIGRATE_CHECK when something stands in the way, and what QEMU and the server say. */
  async check(): Promise<Plan> {
    const plan = await makePlan(this.#options, this.#source, this.#pid, this.#destination);
    const { member, uri, facts } = plan;
    const whom = member === null ? 'in use by nobody' : `of the member ${member.name}`;
    this.#tell('check', `${facts.id} on ${facts.bus}, ${whom}; to ${uri}`);
    return plan;
  }

  /**
   * Throws ERR_IVSHMEM_MIGRATE_UNPLUG and _FAILED when the VM is where it was, with its device, _RETURN when that could not be had,
   * and _PLUG when it is at the destination without its device. No connection is lost by any of them.
   */
  async run(): Promise<MigrationReport> {
    const { device } = this.#options;
    const plan = await this.check();
    const { member, uri } = plan;
    let start = performance.now();
    const lap = (): number => {
      const now = performance.now();
      const ms = Math.round(now - start);
      start = now;
      return ms;
    };
    const channels = member === null ? null : await this.#drain(member.slot);
    const drainMs = lap();
    if (channels !== null) this.#tell('drain', `${channels} channels are left (${drainMs} ms)`);
    await this.#unplug(plan);
    const unplugMs = lap();
    this.#tell('unplug', `${device} is unplugged (${unplugMs} ms)`);
    const state = await this.#migrate(plan);
    const migrateMs = lap();
    const downtimeMs = state.downtime ?? null;
    this.#tell('migrate', `completed (${migrateMs} ms, guest stopped for ${downtimeMs ?? '?'} ms)`);
    await this.#plug(plan);
    const plugMs = lap();
    this.#tell('plug', `${device} is plugged in at the destination (${plugMs} ms)`);
    return {
      device,
      member: member && { slot: member.slot, epoch: member.epoch, name: member.name },
      ...{ uri, channels, drainMs, unplugMs, migrateMs, downtimeMs },
      transferredBytes: state.ram?.transferred ?? null,
      plugMs,
    };
  }

  /** Idempotent. The QEMUs go on as they are. */
  close(): void {
    this.#source.qmp.close();
    this.#destination.qmp.close();
  }

  async #drain(slot: number): Promise<number> {
    const ms = this.#options.drainMs;
    return this.#ask(async (client) => {
      const { channels } = await client.ask({ op: 'drain', member: slot, migrates: true, ms });
      return channels;
    });
  }

  async #unplug({ facts, member }: Plan): Promise<void> {
    const { device, unplugMs } = this.#options;
    let cause: unknown;
    try {
      this.#signal.throwIfAborted();
      if (await this.#source.unplug(facts, unplugMs)) return;
      cause = new Error(`its guest did not let go of it within ${unplugMs / 1000} s`);
      if (this.#signal.aborted) cause = new Error('interrupted');
    } catch (error) {
      cause = error;
    }
    if (member !== null) await this.#undrain(member.slot);
    throw new IvshmemError('ERR_IVSHMEM_MIGRATE_UNPLUG', { device, why: whyOf(cause) }, { cause });
  }

  async #undrain(slot: number): Promise<void> {
    try {
      await this.#ask((client) => client.ask({ op: 'undrain', member: slot }));
    } catch (error) {
      // It left meanwhile, or so did the server: nobody is kept away from shared memory by this any more.
      if (!isIvshmemError(error)) throw error;
      this.#tell('return', whyOf(error));
    }
  }

  async #migrate(plan: Plan) {
    const { uri } = plan;
    try {
      this.#signal.throwIfAborted();
      const progress = (text: string): void => this.#tell('migrate', text);
      const limits = { ms: this.#options.migrateMs, signal: this.#signal };
      return await transfer(this.#source, this.#destination, uri, limits, progress);
    } catch (cause) {
      const why = this.#signal.aborted ? 'interrupted' : whyOf(cause);
      await this.#goBack(plan, why);
      throw new IvshmemError('ERR_IVSHMEM_MIGRATE_FAILED', { to: uri, why }, { cause });
    }
  }

  /** The guest goes on at the source, with its device. */
  async #goBack({ facts, uri, running }: Plan, first: string): Promise<void> {
    const { device, socket } = this.#options;
    this.#tell('return', `${first}; the device is plugged in again at the source`);
    try {
      if (running && !(await this.#runs(this.#source))) await this.#source.ask('cont');
      await this.#source.plug(facts, socket);
    } catch (cause) {
      const why = `${first}, and then: ${whyOf(cause)}`;
      throw new IvshmemError('ERR_IVSHMEM_MIGRATE_RETURN', { to: uri, device, why }, { cause });
    }
  }

  async #plug({ there, running }: Plan): Promise<void> {
    const { device, toSocket } = this.#options;
    const vm = this.#destination;
    try {
      const runs = await this.#runs(vm);
      await vm.plug(there, toSocket);
      // A destination that was started with -S.
      if (running && !runs) await vm.ask('cont');
    } catch (cause) {
      const why = whyOf(cause);
      throw new IvshmemError('ERR_IVSHMEM_MIGRATE_PLUG', { device, why, socket: toSocket }, { cause });
    }
  }

  /** Whether the guest runs, once that is settled: QEMU ends a migration before it starts the guest. */
  async #runs(vm: QemuVm): Promise<boolean> {
    const deadline = performance.now() + SETTLE_MS;
    for (;;) {
      const status = await vm.status();
      if (status === 'running' || status === 'paused') return status === 'running';
      if (performance.now() > deadline) return false;
      await delay(LOOK_MS);
    }
  }

  async #ask<T>(act: (client: ControlClient) => Promise<T>): Promise<T> {
    const client = await ControlClient.connect(controlPath(this.#options.socket));
    try {
      return await act(client);
    } finally {
      client.close();
    }
  }
}
