import { createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

export interface FakeDevice {
  driver: string;
  chardev: string;
  vectors: number;
  bus: string;
}

/** What a QEMU does that does not do what it is asked. */
export interface Faults {
  /** Commands that are refused, with what it says. */
  refuse?: Record<string, string>;
  /** What becomes of device_del; `deleted` unless said otherwise. */
  unplug?: 'deleted' | 'refused' | 'never';
  /** The one device for which `unplug` holds; any, unless given. */
  keeps?: string;
  /** What becomes of a migration; `completed` unless said otherwise. */
  migration?: 'completed' | 'failed' | 'never' | 'dies';
  /** It greets nobody, as a monitor that has another client. */
  mute?: boolean;
  /** A line that it says in place of its greeting. */
  says?: string;
  /** A destination with -S: its guest waits for `cont`. */
  stopped?: boolean;
  /** It has no KVM. */
  emulated?: boolean;
}

type Arguments = Record<string, unknown>;

/** The monitor of a QEMU: devices, chardevs, a guest that runs or not, and migrations to another one. */
export class FakeQemu {
  readonly path: string;
  readonly devices = new Map<string, FakeDevice>();
  /** Label -> socket of the server. */
  readonly chardevs = new Map<string, string>();
  /** Commands that change something, in order. */
  readonly did: string[] = [];
  status: string;
  faults: Faults = {};
  /** Where a migration goes. */
  destination: FakeQemu | null = null;
  /** A device was unplugged, or plugged in behind that socket. */
  onUnplug = (_id: string): void => {};
  onPlug = (_id: string, _socket: string): void => {};
  readonly #server: Server;
  readonly #clients = new Set<Socket>();
  #migration: Arguments = {};
  /** `status` before the migration. */
  #before = '';

  private constructor(path: string, status: string) {
    this.path = path;
    this.status = status;
    this.#server = createServer((socket) => {
      this.#clients.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#clients.delete(socket));
      if (this.faults.mute) return;
      if (this.faults.says !== undefined) return void socket.write(`${this.faults.says}\n`);
      this.#send(socket, { QMP: { version: {}, capabilities: [] } });
      createInterface({ input: socket }).on('line', (line) => this.#take(socket, JSON.parse(line)));
    });
  }

  /** `status`: `running` for a source, `inmigrate` for a destination. */
  static async start(path: string, status: string): Promise<FakeQemu> {
    const qemu = new FakeQemu(path, status);
    await new Promise<void>((resolve) => qemu.#server.listen(path, resolve));
    return qemu;
  }

  close(): void {
    this.#server.close();
    for (const client of this.#clients) client.destroy();
  }

  #send(socket: Socket, value: object): void {
    if (!socket.destroyed) socket.write(`${JSON.stringify(value)}\r\n`);
  }

  #event(event: string, data: object = {}): void {
    setImmediate(() => {
      for (const client of this.#clients) this.#send(client, { event, data, timestamp: {} });
    });
  }

  #take(socket: Socket, request: { execute: string; arguments: Arguments; id: number }): void {
    const { execute, id } = request;
    const why = this.faults.refuse?.[execute];
    try {
      if (why !== undefined) throw new Error(why);
      this.#send(socket, { return: this.#perform(execute, request.arguments) ?? {}, id });
    } catch (error) {
      this.#send(socket, { error: { class: 'GenericError', desc: (error as Error).message }, id });
    }
  }

  #perform(command: string, given: Arguments): unknown {
    const id = String(given.id);
    switch (command) {
      case 'qmp_capabilities':
      case 'migrate-set-capabilities':
        return {};
      case 'query-status':
        return { status: this.status, running: this.status === 'running' };
      case 'query-kvm':
        return { present: true, enabled: !this.faults.emulated };
      case 'query-migrate':
        return this.status === 'inmigrate'
          ? { 'socket-address': [{ type: 'unix', path: `${this.path}.in` }] }
          : this.#migration;
      case 'query-chardev':
        return [...this.chardevs].map(([label]) => ({ label, filename: 'unix:' }));
      case 'qom-list':
        return [...this.devices.keys()].map((name) => ({ name, type: 'child<x>' }));
      case 'qom-get':
        return this.#property(String(given.path), String(given.property));
    }
    this.did.push(command);
    switch (command) {
      case 'device_del':
        return this.#unplug(id);
      case 'chardev-remove':
        if (!this.chardevs.delete(id)) throw new Error(`Chardev '${id}' not found`);
        return {};
      case 'chardev-add':
        if (this.chardevs.has(id)) throw new Error(`Chardev with id '${id}' already exists`);
        this.chardevs.set(
          id,
          (given.backend as { data: { addr: { data: { path: string } } } }).data.addr.data.path,
        );
        return {};
      case 'device_add': {
        const { driver, chardev, vectors, bus } = given as unknown as FakeDevice;
        this.devices.set(id, { driver, chardev, vectors, bus });
        this.onPlug(id, this.chardevs.get(chardev)!);
        return {};
      }
      case 'migrate':
        return this.#migrate(String(given.uri));
      case 'migrate_cancel':
        this.#end('cancelled');
        return {};
      case 'stop':
        this.status = 'paused';
        this.#event('STOP');
        return {};
      case 'cont':
        this.status = 'running';
        this.#event('RESUME');
        return {};
    }
    throw new Error(`The command ${command} has not been found`);
  }

  #property(path: string, property: string): unknown {
    const device = this.devices.get(path.split('/').at(-1)!);
    if (device === undefined) throw new Error(`Device '${path}' not found`);
    if (property === 'type') return device.driver;
    if (property === 'parent_bus') return `/machine/peripheral/${device.bus}/${device.bus}`;
    return device[property as 'chardev' | 'vectors'];
  }

  #unplug(id: string): object {
    const { keeps = id } = this.faults;
    const unplug = keeps === id ? (this.faults.unplug ?? 'deleted') : 'deleted';
    const path = `/machine/peripheral/${id}`;
    // A part of it that has no name is deleted as well.
    this.#event('DEVICE_DELETED', { path: `${path}/msix` });
    if (unplug === 'refused') this.#event('DEVICE_UNPLUG_GUEST_ERROR', { device: id, path });
    if (unplug !== 'deleted') return {};
    this.devices.delete(id);
    this.onUnplug(id);
    this.#event('DEVICE_DELETED', { device: id, path });
    return {};
  }

  #migrate(uri: string): object {
    const { migration = 'completed' } = this.faults;
    if (uri !== `unix:${this.destination?.path}.in`) throw new Error(`nobody at ${uri}`);
    if (this.devices.size > 0) throw new Error('Migration is disabled');
    this.#before = this.status;
    this.status = 'finish-migrate';
    this.#migration = { status: 'active', ram: { transferred: 1 << 20, remaining: 4096, total: 1 << 21 } };
    this.#event('MIGRATION', { status: 'active' });
    if (migration === 'dies') setImmediate(() => this.close());
    else if (migration !== 'never') this.#end(migration);
    return {};
  }

  #end(status: 'completed' | 'failed' | 'cancelled'): void {
    this.#migration = { ...this.#migration, status, downtime: 7, 'total-time': 9 };
    if (status === 'failed') this.#migration['error-desc'] = 'the cable is cut';
    this.#event('MIGRATION', { status });
    if (status === 'completed') {
      this.status = 'postmigrate';
      this.destination!.#goOn(this.destination!.faults.stopped ? 'paused' : this.#before);
    } else this.#goOn(this.#before);
  }

  /** A little later than the end of the migration is told. */
  #goOn(status: string): void {
    setTimeout(() => {
      this.status = status;
      if (status === 'running') this.#event('RESUME');
    }, 20);
  }
}
