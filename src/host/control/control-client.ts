import { Socket } from 'node:net';
import { StringDecoder } from 'node:string_decoder';
import { IvshmemError } from '../../errors/index.ts';
import { binding } from '../../native/binding.ts';
import type {
  Answer,
  ControlRequest,
  DrainAnswer,
  EventReport,
  EvictAnswer,
  MembersAnswer,
  RemoveSpaceAnswer,
  SampleAnswer,
  SpacesAnswer,
  StatusAnswer,
} from './control-protocol.ts';

interface Answers {
  readonly status: StatusAnswer;
  readonly members: MembersAnswer;
  readonly watch: MembersAnswer;
  readonly sample: SampleAnswer;
  readonly evict: EvictAnswer;
  readonly drain: DrainAnswer;
  readonly undrain: EvictAnswer;
  readonly spaces: SpacesAnswer;
  readonly 'remove-space': RemoveSpaceAnswer;
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
    this.#lines = linesOf(socket);
  }

  /** `path`: of the control socket, '@name' when it is abstract. Throws ERR_IVSHMEM_CONTROL_CONNECT. */
  static async connect(path: string): Promise<ControlClient> {
    try {
      // Not net.connect: libuv of Node 20 fills abstract names up with zeros, which is another name.
      const fd = binding.socketConnect(path);
      return new ControlClient(path, new Socket({ fd, readable: true, writable: true }));
    } catch (cause) {
      const why = (cause as Error).message;
      throw new IvshmemError('ERR_IVSHMEM_CONTROL_CONNECT', { on: path, why }, { cause });
    }
  }

  /**
   * Asks, and waits for the answer. One request at a time. Throws ERR_IVSHMEM_CONTROL_ANSWER when the server refuses or cannot be
   * understood, ERR_IVSHMEM_NO_MEMBER or ERR_IVSHMEM_SPACE_MISSING when it knows no such member or space.
   */
  async ask<R extends ControlRequest>(request: R): Promise<Answers[R['op']]> {
    this.#socket.write(`${JSON.stringify(request)}\n`);
    const answer = (await this.#next()) as Answer<Answers[R['op']]> | null;
    if (answer === null) throw this.#wrong(this.#failed?.message ?? 'it closed the connection');
    if (answer.ok === true) return answer;
    if ('member' in request && answer.code === 'ERR_IVSHMEM_NO_MEMBER') {
      throw new IvshmemError('ERR_IVSHMEM_NO_MEMBER', { member: String(request.member) });
    }
    if (request.op === 'remove-space' && answer.code === 'ERR_IVSHMEM_SPACE_MISSING')
      throw spaceMissing(request.space, this.#on);
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

function spaceMissing(name: string, on: string): IvshmemError {
  return new IvshmemError('ERR_IVSHMEM_SPACE_MISSING', { operation: `remove the space ${name}`, on });
}

/** Whole lines, until the stream ends in whatever way; readline does not notice when a socket is destroyed. */
async function* linesOf(socket: Socket): AsyncGenerator<string, void> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  try {
    for await (const chunk of socket) {
      const lines = (rest + decoder.write(chunk as Buffer)).split('\n');
      rest = lines.pop()!;
      yield* lines;
    }
  } catch {
    // Destroyed here, or reset there: an 'error' event told which.
  }
}
