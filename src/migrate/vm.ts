import { IvshmemError } from '../errors/index.ts';
import type { Qmp, QmpEvent } from './qmp.ts';

/** The longest a command may take, milliseconds: device_add waits for the server behind the device. */
const ANSWER_MS = 60_000;

/** What has to be known of a device to plug it in again, here or elsewhere. */
export interface DeviceFacts {
  readonly id: string;
  /** The chardev that connects it to its server; it goes and comes with the device. */
  readonly chardev: string;
  readonly vectors: number;
  /** Name of the bus it is on. */
  readonly bus: string;
}

/** What query-migrate tells, as far as it is needed. */
export interface MigrationState {
  readonly status?: string;
  readonly 'error-desc'?: string;
  readonly 'total-time'?: number;
  readonly downtime?: number;
  readonly ram?: { readonly transferred: number; readonly remaining: number; readonly total: number };
  readonly 'socket-address'?: readonly SocketAddress[];
}

interface SocketAddress {
  readonly type: string;
  readonly path?: string;
  readonly host?: string;
  readonly port?: string;
}

/** One QEMU, as far as a migration has to do with it. Every method throws ERR_IVSHMEM_QMP_COMMAND when QEMU refuses. */
export class QemuVm {
  readonly qmp: Qmp;
  readonly #signal: AbortSignal;

  /** `signal`: ends waiting; commands under way are finished. */
  constructor(qmp: Qmp, signal: AbortSignal) {
    this.qmp = qmp;
    this.#signal = signal;
  }

  get place(): string {
    return this.qmp.place;
  }

  /** Null: there is no device of that name. Throws a string for one that cannot be migrated. */
  async device(id: string): Promise<DeviceFacts | null> {
    const path = `/machine/peripheral/${id}`;
    const get = <T>(property: string): Promise<T> => this.ask<T>('qom-get', { path, property });
    if (!(await this.has('/machine/peripheral', id))) return null;
    const driver = await get<string>('type');
    if (driver !== 'ivshmem-doorbell') throw new WrongDevice(`it is of the type ${driver}`);
    const bus = (await get<string>('parent_bus')).split('/').at(-1)!;
    return { id, chardev: await get('chardev'), vectors: await get('vectors'), bus };
  }

  async has(parent: string, child: string): Promise<boolean> {
    const entries = await this.ask<{ name: string }[]>('qom-list', { path: parent });
    return entries.some(({ name }) => name === child);
  }

  async hasChardev(id: string): Promise<boolean> {
    const all = await this.ask<{ label: string }[]>('query-chardev');
    return all.some(({ label }) => label === id);
  }

  async status(): Promise<string> {
    return (await this.ask<{ status: string }>('query-status')).status;
  }

  /** Whether its guest runs without KVM. */
  async emulated(): Promise<boolean> {
    return !(await this.ask<{ enabled: boolean }>('query-kvm')).enabled;
  }

  migration(): Promise<MigrationState> {
    return this.ask('query-migrate');
  }

  /** Events of the migration, and an answer at its end from the destination: so that a source goes on when that did not load. */
  async prepareMigration(): Promise<void> {
    const capabilities = ['events', 'return-path'].map((capability) => ({ capability, state: true }));
    await this.ask('migrate-set-capabilities', { capabilities });
  }

  /** Takes a device and its chardev away, once the guest has let go. False: it did not within `ms`; then it may do so yet. */
  async unplug({ id, chardev }: DeviceFacts, ms: number): Promise<boolean> {
    const over = this.event(({ event, data }) => {
      if (data?.device !== id) return null;
      if (event === 'DEVICE_DELETED') return 'deleted';
      return event === 'DEVICE_UNPLUG_GUEST_ERROR' ? 'refused' : null;
    }, ms);
    try {
      await this.ask('device_del', { id });
    } catch (error) {
      over.stop();
      throw error;
    }
    const how = await over.came;
    if (how === 'refused') throw this.failed('device_del', 'the guest refuses');
    if (how === null) return false;
    await this.ask('chardev-remove', { id: chardev });
    return true;
  }

  /** Connects a chardev to the server at `socket`, and plugs the device in. All or nothing. */
  async plug({ id, chardev, vectors, bus }: DeviceFacts, socket: string): Promise<void> {
    const addr = { type: 'unix', data: { path: socket } };
    await this.ask('chardev-add', {
      id: chardev,
      backend: { type: 'socket', data: { addr, server: false } },
    });
    try {
      await this.ask('device_add', { driver: 'ivshmem-doorbell', id, chardev, bus, vectors });
    } catch (error) {
      await this.ask('chardev-remove', { id: chardev }).catch((second: Error) => {
        (error as Error).cause ??= second;
      });
      throw error;
    }
  }

  /** One command, for which QEMU has a minute. */
  async ask<T = unknown>(command: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const why = `no answer within ${ANSWER_MS / 1000} s`;
      timer = setTimeout(() => reject(this.failed(command, why)), ANSWER_MS);
    });
    try {
      return await Promise.race([this.qmp.execute<T>(command, parameters), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Looks at events from now on. `came` is what `look` made of the first that it did not answer with null; null itself after `ms`,
   * or when the signal was aborted, or QEMU ended.
   */
  event<T>(
    look: (event: QmpEvent) => T | null,
    ms: number,
    signal: AbortSignal | null = this.#signal,
  ): { came: Promise<T | null>; stop: () => void } {
    let stop = (): void => {};
    const came = new Promise<T | null>((resolve) => {
      const finish = (value: T | null): void => {
        clearTimeout(timer);
        this.qmp.off('event', listen);
        this.qmp.off('close', stop);
        signal?.removeEventListener('abort', stop);
        resolve(value);
      };
      const listen = (event: QmpEvent): void => {
        const value = look(event);
        if (value !== null) finish(value);
      };
      stop = () => finish(null);
      const timer = setTimeout(stop, ms);
      this.qmp.on('event', listen);
      this.qmp.on('close', stop);
      signal?.addEventListener('abort', stop);
      if (signal?.aborted) stop();
    });
    return { came, stop };
  }

  failed(command: string, why: string): IvshmemError {
    return new IvshmemError('ERR_IVSHMEM_QMP_COMMAND', { command, on: this.place, why });
  }
}

/** A device that is there and cannot be taken along. */
export class WrongDevice extends Error {}

/** The URI at which a destination waits, as far as it can be told from here; null for one that only says "everywhere". */
export function uriOf(state: MigrationState): string | null {
  const [address] = state['socket-address'] ?? [];
  if (address?.type === 'unix') return `unix:${address.path}`;
  if (address?.type !== 'inet') return null;
  const { host = '', port } = address;
  if (host === '' || host === '0.0.0.0' || host === '::') return null;
  return `tcp:${host.includes(':') ? `[${host}]` : host}:${port}`;
}
