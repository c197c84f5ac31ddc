import { setTimeout as delay } from 'node:timers/promises';
import { IvshmemError, isIvshmemError, whyOf } from '../errors/index.ts';
import { ControlClient } from '../host/control/control-client.ts';
import { controlPath } from '../host/control/control-path.ts';
import { type DevicePlan, type MigrateOptions, makePlan, type Plan } from './plan.ts';
import { Qmp } from './qmp.ts';
import { transfer } from './transfer.ts';
import { type MigrationState, QemuVm } from './vm.ts';

/** How long a QEMU may take from the end of a migration until it says that its guest goes on, milliseconds. */
const SETTLE_MS = 10_000;
const LOOK_MS = 20;
/** `postmigrate`: a source whose guest was stopped before a migration that failed late. */
const SETTLED = ['running', 'paused', 'postmigrate'];

/** One line of progress: the step, and what there is to say of it. */
export type Tell = (step: 'check' | 'drain' | 'unplug' | 'migrate' | 'plug' | 'return', text: string) => void;

/** What was done, and how long each step took, milliseconds. */
export interface MigrationReport {
  readonly devices: readonly string[];
  /** Those whose programs in the guest had a device. */
  readonly members: readonly { readonly slot: number; readonly epoch: number; readonly name: string }[];
  readonly uri: string;
  /** Channels that were left after draining. */
  readonly channels: number;
  readonly drainMs: number;
  readonly unplugMs: number;
  readonly migrateMs: number;
  /** While no guest ran: by QEMU's account, or, when the guest had to be stopped for it all (`Plan.emulated`), by the clock. */
  readonly downtimeMs: number | null;
  readonly transferredBytes: number | null;
  readonly plugMs: number;
}

/**
 * A connection to both QEMUs of a migration. `check` looks and changes nothing; `run` has the members' connections leave shared
 * memory, unplugs the devices, migrates, and plugs the devices in at the destination.
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
    const { devices, members, uri } = plan;
    const what = devices.map(({ facts }) => `${facts.id} on ${facts.bus}`).join(', ');
    const names = members.map(({ name }) => name).join(', ');
    this.#tell('check', `${what}, ${names === '' ? 'in use by nobody' : `in use by ${names}`}; to ${uri}`);
    return plan;
  }

  /**
   * Throws ERR_IVSHMEM_MIGRATE_UNPLUG and _FAILED when the VM is where it was, with its devices, _RETURN when that could not be had,
   * and _PLUG when it is at the destination without them. No connection is lost by any of them.
   */
  async run(): Promise<MigrationReport> {
    const plan = await this.check();
    const { members, uri } = plan;
    let start = performance.now();
    const lap = (): number => {
      const now = performance.now();
      const ms = Math.round(now - start);
      start = now;
      return ms;
    };
    const channels = await this.#drain(members.map(({ slot }) => slot));
    const drainMs = lap();
    if (members.length > 0) this.#tell('drain', `${channels} channels are left (${drainMs} ms)`);
    await this.#unplug(plan);
    const unplugMs = lap();
    this.#tell('unplug', `${this.#names} unplugged (${unplugMs} ms)`);
    const { state, stopped } = await this.#migrate(plan);
    const migrateMs = lap();
    await this.#there(() => this.#start(plan));
    const downtimeMs = stopped === null ? (state.downtime ?? null) : Math.round(performance.now() - stopped);
    this.#tell('migrate', `completed (${migrateMs} ms, guest stopped for ${downtimeMs ?? '?'} ms)`);
    await this.#there(() => this.#plug(plan));
    const plugMs = lap();
    this.#tell('plug', `${this.#names} plugged in at the destination (${plugMs} ms)`);
    return {
      devices: this.#options.devices,
      members: members.map(({ slot, epoch, name }) => ({ slot, epoch, name })),
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

  get #names(): string {
    return this.#options.devices.join(', ');
  }

  /** Resolves with how many channels are left. */
  async #drain(slots: readonly number[]): Promise<number> {
    const ms = this.#options.drainMs;
    const left = slots.map((member) =>
      this.#ask((client) => client.ask({ op: 'drain', member, migrates: true, ms })),
    );
    return (await Promise.all(left)).reduce((sum, { channels }) => sum + channels, 0);
  }

  async #unplug(plan: Plan): Promise<void> {
    const { unplugMs } = this.#options;
    const gone: DevicePlan[] = [];
    try {
      for (const each of plan.devices) {
        this.#signal.throwIfAborted();
        if (!(await this.#source.unplug(each.facts, unplugMs)))
          throw new Error(`its guest did not let go of ${each.facts.id} within ${unplugMs / 1000} s`);
        gone.push(each);
      }
    } catch (cause) {
      const why = this.#signal.aborted ? 'interrupted' : whyOf(cause);
      for (const { slot } of plan.members) await this.#undrain(slot);
      if (gone.length > 0) await this.#goBack({ ...plan, devices: gone }, why);
      throw new IvshmemError('ERR_IVSHMEM_MIGRATE_UNPLUG', { device: this.#names, why }, { cause });
    }
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

  /** Resolves with when the guest was stopped, if it was stopped for it here. */
  async #migrate(plan: Plan): Promise<{ state: MigrationState; stopped: number | null }> {
    const { uri, running, emulated } = plan;
    let stopped: number | null = null;
    try {
      this.#signal.throwIfAborted();
      if (running && emulated) {
        stopped = performance.now();
        await this.#source.ask('stop');
        this.#tell('migrate', 'the guest is stopped meanwhile, for it is emulated');
      }
      const progress = (text: string): void => this.#tell('migrate', text);
      const limits = { ms: this.#options.migrateMs, signal: this.#signal };
      return { state: await transfer(this.#source, this.#destination, uri, limits, progress), stopped };
    } catch (cause) {
      const why = this.#signal.aborted ? 'interrupted' : whyOf(cause);
      await this.#goBack(plan, why);
      throw new IvshmemError('ERR_IVSHMEM_MIGRATE_FAILED', { to: uri, why }, { cause });
    }
  }

  /** The guest goes on at the source, with its devices. */
  async #goBack({ devices, uri, running }: Plan, first: string): Promise<void> {
    const device = devices.map(({ facts }) => facts.id).join(', ');
    this.#tell('return', `${first}; ${device} plugged in again at the source`);
    try {
      if (running && !(await this.#runs(this.#source))) await this.#source.ask('cont');
      for (const { facts } of devices) await this.#source.plug(facts, this.#options.socket);
    } catch (cause) {
      const why = `${first}, and then: ${whyOf(cause)}`;
      throw new IvshmemError('ERR_IVSHMEM_MIGRATE_RETURN', { to: uri, device, why }, { cause });
    }
  }

  /** The guest is at the destination, and nothing brings it back. */
  async #there(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (cause) {
      const params = { device: this.#names, why: whyOf(cause), socket: this.#options.toSocket };
      throw new IvshmemError('ERR_IVSHMEM_MIGRATE_PLUG', params, { cause });
    }
  }

  /** A guest that was stopped for its migration, or whose destination has -S, does not go on by itself. */
  async #start({ running }: Plan): Promise<void> {
    const runs = await this.#runs(this.#destination);
    if (running && !runs) await this.#destination.ask('cont');
  }

  async #plug({ devices }: Plan): Promise<void> {
    for (const { there } of devices) await this.#destination.plug(there, this.#options.toSocket);
  }

  /** Whether the guest runs, once that is settled: QEMU ends a migration before it starts the guest. */
  async #runs(vm: QemuVm): Promise<boolean> {
    const deadline = performance.now() + SETTLE_MS;
    for (;;) {
      const status = await vm.status();
      if (SETTLED.includes(status)) return status === 'running';
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
