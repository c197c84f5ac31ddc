import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectQmp, type Qmp, type QmpEvent } from '../../../qemu/qmp.ts';
import { PciDevice } from './pci-device.ts';
import { Qtest } from './qtest.ts';
import { until } from './until.ts';

export const QEMU = 'qemu-system-x86_64';
const START_SECONDS = 60;
const DEVICE_SLOT = 5;
/** ACPI PCI hot-plug of the pc machine (docs/specs/acpi_pci_hotplug in QEMU): writing a slot's bit ejects it. */
const ACPI_EJECT = 0xae08;

export interface QemuOptions {
  /** A server's socket; '@name' for an abstract one. None: the device is plugged in later. */
  readonly socket?: string | undefined;
  /** MSI-X vectors of the device. Default 2. */
  readonly vectors?: number;
  /** Put before the command, e.g. ['prlimit', '--nofile=64']. */
  readonly wrap?: readonly string[];
}

/** A live QEMU without a guest: stopped CPU, one ivshmem device, driven through QMP and qtest. */
export class QemuPeer {
  readonly process: ChildProcess;
  readonly directory: string;
  readonly #vectors: number;
  readonly #events: QmpEvent[] = [];
  #qmp: Qmp | null = null;
  #qtest: Qtest | null = null;
  #device: PciDevice | null = null;
  #errors = '';

  private constructor(process: ChildProcess, directory: string, vectors: number) {
    this.process = process;
    this.directory = directory;
    this.#vectors = vectors;
    process.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
    process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  }

  /** Starts the process only: for QEMUs that are not expected to come up. */
  static spawn(options: QemuOptions): QemuPeer {
    const directory = mkdtempSync(join(tmpdir(), 'ivshmem-protocol-'));
    const { socket, vectors = 2, wrap = [] } = options;
    // A wrapper may change the user, who must be able to make QEMU's sockets there.
    if (wrap.length > 0) chmodSync(directory, 0o777);
    const server = (path: string): string => `unix:${path},server=on,wait=off`;
    const device = [
      ...['-chardev', `socket,id=c,${chardevAddress(socket ?? '')}`],
      ...['-device', `ivshmem-doorbell,id=d,chardev=c,vectors=${vectors},addr=${DEVICE_SLOT}`],
    ];
    const command = [
      ...wrap,
      QEMU,
      ...['-S', '-nodefaults', '-display', 'none', '-machine', 'pc', '-accel', 'tcg', '-m', '32'],
      ...['-qmp', server(join(directory, 'qmp')), '-qtest', server(join(directory, 'qtest'))],
      ...['-qtest-log', '/dev/null'],
      ...(socket === undefined ? [] : device),
    ];
    const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'ignore', 'pipe'] });
    return new QemuPeer(child, directory, vectors);
  }

  /** Starts QEMU and connects to it. The device, if any, is realized then, but not yet enabled. */
  static async start(options: QemuOptions): Promise<QemuPeer> {
    const peer = QemuPeer.spawn(options);
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(new Error('QEMU did not start')), START_SECONDS * 1000);
    const died = (): void => abort.abort(new Error(`QEMU ended: ${peer.#errors}`));
    peer.process.once('exit', died);
    try {
      peer.#qmp = await connectQmp(join(peer.directory, 'qmp'), abort.signal);
      peer.#qmp.on('event', (event) => peer.#events.push(event));
      peer.#qtest = await Qtest.connect(join(peer.directory, 'qtest'), abort.signal);
      return peer;
    } catch (error) {
      await peer.kill();
      throw abort.signal.aborted ? abort.signal.reason : error;
    } finally {
      clearTimeout(timer);
      peer.process.off('exit', died);
    }
  }

  /** QEMU's stderr so far. */
  get errors(): string {
    return this.#errors;
  }

  get running(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  get qmp(): Qmp {
    if (this.#qmp === null) throw new Error('not connected');
    return this.#qmp;
  }

  /** Enables the device the first time. */
  async device(): Promise<PciDevice> {
    this.#device ??= await PciDevice.enable(this.#qtest!, DEVICE_SLOT, this.#vectors);
    return this.#device;
  }

  /** After a reset the device must be enabled again. */
  forgetDevice(): void {
    this.#device = null;
  }

  /** Hot-plug. Rejects with QEMU's words when the device cannot be realized; the chardev is removed then. */
  async plug(socket: string): Promise<void> {
    await this.connectChardev(socket);
    await this.plugConnected();
  }

  /** The first half of a hot-plug: QEMU connects, and reads nothing yet. */
  async connectChardev(socket: string): Promise<void> {
    const abstract = socket.startsWith('@');
    const path = abstract ? socket.slice(1) : socket;
    const addr = { type: 'unix', data: { path, ...(abstract ? { abstract: true } : {}) } };
    await this.qmp.execute('chardev-add', {
      id: 'h',
      backend: { type: 'socket', data: { addr, server: false } },
    });
  }

  /** The second half: the handshake. */
  async plugConnected(): Promise<void> {
    const [vectors, addr] = [this.#vectors, `${DEVICE_SLOT}`];
    try {
      await this.qmp.execute('device_add', {
        driver: 'ivshmem-doorbell',
        id: 'd',
        chardev: 'h',
        vectors,
        addr,
      });
    } catch (error) {
      await this.qmp.execute('chardev-remove', { id: 'h' });
      throw error;
    }
  }

  /** Hot-unplug, with the guest's part (ejecting the slot) played through qtest. Also removes the chardev. */
  async unplug(): Promise<void> {
    const seen = this.#events.length;
    await this.qmp.execute('device_del', { id: 'd' });
    await this.#qtest!.outl(ACPI_EJECT, 1 << DEVICE_SLOT);
    const deleted = (): boolean => this.#events.slice(seen).some(({ event }) => event === 'DEVICE_DELETED');
    await until('DEVICE_DELETED', deleted);
    this.#device = null;
    await until('the chardev is free', () =>
      this.qmp.execute('chardev-remove', { id: 'h' }).then(
        () => true,
        () => false,
      ),
    );
  }

  /** QMP answers, hence the main loop runs. */
  async alive(): Promise<boolean> {
    const { status } = await this.qmp.execute<{ status: string }>('query-status');
    return status === 'prelaunch';
  }

  /** The exit status of a QEMU that is expected to give up by itself; killed after `seconds`, which throws. */
  async exitCode(seconds = 30): Promise<number | null> {
    await until('QEMU ends by itself', () => !this.running, seconds);
    return this.process.exitCode;
  }

  /** SIGKILL, and waits for the end. Idempotent. */
  async kill(): Promise<void> {
    this.#qmp?.close();
    this.#qtest?.close();
    if (!this.running) return;
    const ended = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await ended;
  }
}

function chardevAddress(socket: string): string {
  return socket.startsWith('@') ? `path=${socket.slice(1)},abstract=on` : `path=${socket}`;
}
