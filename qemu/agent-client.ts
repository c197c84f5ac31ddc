import { once } from 'node:events';
import type { Socket } from 'node:net';
import {
  type Exit,
  lineSplitter,
  type Reply,
  type Request,
  type RunRequest,
} from '../guest-image/protocol.ts';
import { GuestProcess } from './guest-process.ts';

/** How a command runs in the guest: as root and in `/` unless told otherwise. `timeout` in milliseconds. */
export interface RunOptions extends Omit<RunRequest, 'op' | 'id' | 'command'> {
  /** Standard input; an empty one without it. */
  readonly input?: string | Uint8Array;
}

export interface RunResult extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

interface Handler {
  readonly take: (reply: Reply) => boolean;
  readonly fail: (error: Error) => void;
}

/** The host's end of the guest agent's channel. */
export class AgentClient {
  #socket: Socket;
  readonly #handlers = new Map<number, Handler>();
  readonly #split = lineSplitter((line) => this.#take(JSON.parse(line) as Reply));
  #next = 1;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#use(socket);
  }

  /**
   * The guest is at the other end of this socket from now on, of which nobody has read yet. What the old one still has comes first,
   * for a line may have begun there; resolves when it has ended, which is for others to bring about. Send nothing meanwhile.
   */
  async moveTo(socket: Socket): Promise<void> {
    const before = this.#socket;
    this.#socket = socket;
    if (!before.closed) await once(before, 'close');
    this.#use(socket);
    if (this.#handlers.size > 0) socket.ref();
  }

  #use(socket: Socket): void {
    socket.on('data', this.#split);
    socket.once('close', () => {
      if (this.#socket !== socket) return;
      for (const handler of this.#handlers.values()) handler.fail(new Error('the guest is gone'));
      this.#handlers.clear();
    });
    socket.unref();
  }

  /** Resolves once the agent answers: the guest is up. */
  hello(): Promise<void> {
    return this.#ask((id) => ({ op: 'hello', id }));
  }

  /** Writes a file in the guest. */
  put(path: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
    const data = Buffer.from(content).toString('base64');
    return this.#ask((id) => ({ op: 'put', id, path, data, mode }));
  }

  /** Starts a command; a string goes to the guest's shell, a list is run as it is. */
  spawn(command: string | readonly string[], options: RunOptions = {}): GuestProcess {
    const { input, ...rest } = options;
    const id = this.#next++;
    const child = new GuestProcess(id, (request) => this.#send(request));
    this.#expect(id, { take: (reply) => child.take(reply), fail: (error) => child.fail(error) });
    this.#send({ ...rest, op: 'run', id, command });
    if (input !== undefined) child.write(input);
    if (input !== undefined) child.end();
    return child;
  }

  close(): void {
    this.#socket.destroy();
  }

  #ask(request: (id: number) => Request): Promise<void> {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      const take = (reply: Reply) => {
        if ('error' in reply) reject(new Error(`the guest's agent: ${reply.error}`));
        else resolve();
        return true;
      };
      this.#expect(id, { take, fail: reject });
      this.#send(request(id));
    });
  }

  #expect(id: number, handler: Handler): void {
    if (this.#socket.destroyed) {
      handler.fail(new Error('the guest is gone'));
      return;
    }
    this.#handlers.set(id, handler);
    this.#socket.ref();
  }

  #send(request: Request): void {
    if (!this.#socket.destroyed) this.#socket.write(`${JSON.stringify(request)}\n`);
  }

  #take(reply: Reply): void {
    if (!this.#handlers.get(reply.id)?.take(reply)) return;
    this.#handlers.delete(reply.id);
    if (this.#handlers.size === 0) this.#socket.unref();
  }
}
