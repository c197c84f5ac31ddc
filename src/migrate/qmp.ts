import { EventEmitter, once } from 'node:events';
import { connect, Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { IvshmemError } from '../errors/index.ts';
import { binding } from '../native/binding.ts';

/** A monitor serves one client at a time: the next one is connected, and hears nothing. */
const GREETING_MS = 10_000;

export interface QmpEvent {
  readonly event: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

interface Answer {
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
  readonly event?: string;
}

interface Pending {
  readonly command: string;
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

/** QEMU's machine protocol: commands, and events as `qmp.on('event', (event: QmpEvent) => ...)`. */
export class Qmp extends EventEmitter<{ event: [QmpEvent]; greeting: []; close: [] }> {
  /** Where it is, for messages. */
  readonly place: string;
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  #next = 1;

  private constructor(socket: Socket, place: string) {
    super();
    this.place = place;
    this.#socket = socket;
    const lines = createInterface({ input: socket }).on('line', (line) => this.#take(line));
    // A reset is told twice, by the lines and by the socket; its close tells what is lost.
    lines.on('error', () => {});
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      for (const { command, reject } of this.#pending.values()) reject(this.#gone(command));
      this.#pending.clear();
      this.emit('close');
    });
  }

  /** Connects to a monitor: the path of a UNIX socket, or host:port. Throws ERR_IVSHMEM_QMP_CONNECT. */
  static async connect(place: string): Promise<{ qmp: Qmp; pid: number | null }> {
    const silent = new Error('it does not greet: another program may be connected');
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(silent), GREETING_MS);
    try {
      const { socket, pid } = await reach(place, abort.signal);
      return { qmp: await Qmp.over(socket, place, abort.signal), pid };
    } catch (cause) {
      const why = (cause as Error).message;
      throw new IvshmemError('ERR_IVSHMEM_QMP_CONNECT', { on: place, why }, { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Begins to talk over a socket that is connected to a monitor; owns it. Throws the signal's reason when that comes first. */
  static async over(socket: Socket, place: string, signal: AbortSignal): Promise<Qmp> {
    const qmp = new Qmp(socket, place);
    const ended = new AbortController();
    qmp.once('close', () => ended.abort());
    try {
      await once(qmp, 'greeting', { signal: AbortSignal.any([signal, ended.signal]) });
      await qmp.execute('qmp_capabilities');
    } catch (error) {
      qmp.close();
      if (signal.aborted) throw signal.reason;
      throw ended.signal.aborted ? new Error('it closed the connection') : error;
    }
    socket.unref();
    return qmp;
  }

  /**
   * Executes one command, however long that takes. Throws ERR_IVSHMEM_QMP_COMMAND with QEMU's own words, or that the connection
   * ended. What is under way keeps the process alive.
   */
  execute<T = unknown>(command: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#socket.destroyed) return reject(this.#gone(command));
      const id = this.#next++;
      this.#pending.set(id, { command, resolve, reject });
      this.#socket.ref();
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: parameters, id })}\n`);
    });
  }

  /** Idempotent. */
  close(): void {
    this.#socket.destroy();
  }

  #take(line: string): void {
    const answer = parse(line);
    if (answer === null) {
      // Whoever that is, it is no QEMU.
      this.#socket.destroy();
      return;
    }
    if (answer.event !== undefined) return void this.emit('event', answer as QmpEvent);
    if (answer.id === undefined) return void this.emit('greeting');
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    if (this.#pending.size === 0) this.#socket.unref();
    if (pending === undefined) return;
    if (answer.error) pending.reject(this.#failed(pending.command, answer.error.desc));
    else pending.resolve(answer.return as never);
  }

  #gone(command: string): Error {
    return this.#failed(command, 'QEMU is gone');
  }

  #failed(command: string, why: string): Error {
    return new IvshmemError('ERR_IVSHMEM_QMP_COMMAND', { command, on: this.place, why });
  }
}

/** `pid` of the process that listens there, where the kernel says it. */
async function reach(place: string, signal: AbortSignal): Promise<{ socket: Socket; pid: number | null }> {
  const [, host, port] = /^\[?([^/@]+?)\]?:(\d+)$/.exec(place) ?? [];
  if (host === undefined) {
    // Not net.connect: libuv of Node 20 fills abstract names up with zeros, which is another name.
    const fd = binding.socketConnect(place);
    const { pid } = binding.socketCredentials(fd);
    return { socket: new Socket({ fd, readable: true, writable: true }), pid };
  }
  const socket = connect(Number(port), host);
  try {
    await once(socket, 'connect', { signal });
  } catch (error) {
    socket.destroy();
    throw signal.aborted ? signal.reason : error;
  }
  return { socket, pid: null };
}

/** Null: that is no line of QMP. */
function parse(line: string): Answer | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}
