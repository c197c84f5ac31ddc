import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { IvshmemError } from '../errors/index.ts';
import type {
  Answer,
  ControlRequest,
  EventReport,
  EvictAnswer,
  MembersAnswer,
  SampleAnswer,
  StatusAnswer,
} from './control-protocol.ts';

interface Answers {
  readonly status: StatusAnswer;
  readonly members: MembersAnswer;
  readonly watch: MembersAnswer;
  readonly sample: SampleAnswer;
  readonly evict: EvictAnswer;
  readonly handover: object;
}

/** A connection to the control socket of a server, for a command. What is under way keeps the process alive. */
export class ControlClient {
  readonly #on: string;
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;
  #failed: Error | null = null;

  private constructor(on: string, socket: Socket) {
    this.#on = on;
    this.#socket = socket;
    socket.on('error', (error) => {
      this.#failed = error;
    });
    this.#lines = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY })[
      Symbol.asyncIterator
    ]();
  }

  /** `path`: of the control socket, '@name' when it is abstract. Throws ERR_IVSHMEM_CONTROL_CONNECT. */
  static async connect(path: string): Promise<ControlClient> {
    const socket = connect({ path: path.startsWith('@') ? `\0${path.slice(1)}` : path });
    try {
      await once(socket, 'connect');
    } catch (cause) {
      socket.destroy();
      const why = (cause as Error).message;
      throw new IvshmemError('ERR_IVSHMEM_CONTROL_CONNECT', { on: path, why }, { cause });
    }
    return new ControlClient(path, socket);
  }

  /**
   * Asks, and waits for the answer. One request at a time. Throws ERR_IVSHMEM_CONTROL_ANSWER when the server refuses or cannot be
   * understood, ERR_IVSHMEM_NO_MEMBER when it knows no such member.
   */
  async ask<R extends ControlRequest>(request: R): Promise<Answers[R['op']]> {
    this.#socket.write(`${JSON.stringify(request)}\n`);
    const answer = (await this.#next()) as Answer<Answers[R['op']]> | null;
    if (answer === null) throw this.#wrong(this.#failed?.message ?? 'it closed the connection');
    if (answer.ok === true) return answer;
    if (request.op === 'evict' && answer.code === 'ERR_IVSHMEM_NO_MEMBER') {
      throw new IvshmemError('ERR_IVSHMEM_NO_MEMBER', { member: request.member });
    }
    throw this.#wrong(`it answers ${answer.message ?? JSON.stringify(answer)}`.replace(/\.$/, ''));
  }

  /** After `watch`: the events, until the server ends or close(). */
  async *events(): AsyncGenerator<EventReport, void> {
    for (let event = await this.#next(); event !== null; event = await this.#next())
      yield event as EventReport;
  }

  /** Idempotent. */
  close(): void {
    this.#socket.destroy();
  }

  async #next(): Promise<object | null> {
    const { value, done } = await this.#lines.next();
    if (done === true) return null;
    try {
      const parsed: unknown = JSON.parse(value);
      if (typeof parsed === 'object' && parsed !== null) return parsed;
    } catch (cause) {
      throw this.#wrong(`it says ${value.slice(0, 100)}`, cause);
    }
    throw this.#wrong(`it says ${value.slice(0, 100)}`);
  }

  #wrong(why: string, cause?: unknown): IvshmemError {
    return new IvshmemError('ERR_IVSHMEM_CONTROL_ANSWER', { on: this.#on, why }, { cause });
  }
}
