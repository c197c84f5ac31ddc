import { EventEmitter, once } from 'node:events';
import type { Socket } from 'node:net';
import { lineSplitter } from '../guest-image/protocol.ts';
import { connectSocket } from './connect.ts';

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
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  #next = 1;

  private constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on(
      'data',
      lineSplitter((line) => this.#take(JSON.parse(line) as Answer)),
    );
    socket.once('close', () => {
      for (const { command, reject } of this.#pending.values()) reject(gone(command));
      this.#pending.clear();
      this.emit('close');
    });
  }

  /**
   * Connects and leaves the negotiation mode.
   * @throws Error when nothing answers at `path` before `signal` aborts.
   */
  static async connect(path: string, signal: AbortSignal): Promise<Qmp> {
    const qmp = new Qmp(await connectSocket(path, signal));
    await once(qmp, 'greeting', { signal });
    await qmp.execute('qmp_capabilities');
    qmp.#socket.unref();
    return qmp;
  }

  /** Executes one command. @throws Error with QEMU's own words, or that QEMU is gone. */
  execute<T = unknown>(command: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#socket.destroyed) return reject(gone(command));
      const id = this.#next++;
      this.#pending.set(id, { command, resolve, reject });
      this.#socket.ref();
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: parameters, id })}\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(answer: Answer): void {
    if (answer.event !== undefined) return void this.emit('event', answer as QmpEvent);
    if (answer.id === undefined) return void this.emit('greeting');
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    if (this.#pending.size === 0) this.#socket.unref();
    if (answer.error) pending?.reject(new Error(`QMP ${pending.command}: ${answer.error.desc}`));
    else pending?.resolve(answer.return as never);
  }
}

function gone(command: string): Error {
  return new Error(`QMP ${command}: QEMU is gone`);
}
