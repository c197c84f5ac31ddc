import { randomInt } from 'node:crypto';
import { IvshmemError } from '../errors/index.ts';
import {
  LAYOUT_MAJOR,
  LAYOUT_MINOR,
  MEMBER_W,
  NAME_BYTES,
  OP_CLOSE,
  OP_CONNECT,
  OP_GOODBYE,
  OP_HELLO,
  OP_LISTEN,
  OP_UNLISTEN,
  REPLY_WORDS,
  SERVICE_BYTES,
  STATUS_OK,
} from '../memory/layout.ts';
import { writeName } from '../memory/names.ts';
import { refusal } from './refusal.ts';

const DEADLINE_SECONDS = 10;

interface Pending {
  readonly operation: string;
  readonly resolve: (reply: Int32Array) => void;
  readonly reject: (error: Error) => void;
}

/**
 * The member's side of the request mailbox (docs/shared-memory.md, "Requests"): one request under way, the others wait
 * their turn.
 */
export class ControlClient {
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #on: string;
  readonly #notifyServer: () => void;
  readonly #waiting: (change: 1 | -1) => void;
  #seq: number;
  #turn: Promise<unknown> = Promise.resolve();
  #pending: Pending | null = null;
  #silent = false;
  /** Why no request can be made any more. */
  #gone: Error | null = null;

  constructor(
    words: Int32Array,
    base: number,
    on: string,
    notifyServer: () => void,
    waiting: (change: 1 | -1) => void,
  ) {
    this.#words = words;
    this.#base = base;
    this.#on = on;
    this.#notifyServer = notifyServer;
    this.#waiting = waiting;
    // Go on from what an earlier life of this slot left, so that its last reply is not taken for ours.
    this.#seq = words[base + MEMBER_W.reply]!;
  }

  async hello(name: string): Promise<number> {
    const reply = await this.#request(OP_HELLO, `join as ${name}`, (at) => {
      this.#words[at] = (LAYOUT_MAJOR << 16) | LAYOUT_MINOR;
      this.#words[at + 1] = randomInt(1, 2 ** 31);
      writeName(this.#words, at + 2, NAME_BYTES, name);
    });
    return reply[2]!;
  }

  async listen(service: string): Promise<number> {
    const reply = await this.#request(OP_LISTEN, `listen as ${service}`, (at) =>
      writeName(this.#words, at, SERVICE_BYTES, service),
    );
    return reply[2]!;
  }

  async unlisten(listener: number): Promise<void> {
    await this.#request(OP_UNLISTEN, `stop listener ${listener}`, (at) => {
      this.#words[at] = listener;
    });
  }

  async connect(
    service: string,
    peer: string,
    queueSize: number,
    dataBytes: number,
  ): Promise<{ channel: number; generation: number }> {
    const reply = await this.#request(OP_CONNECT, `connect to ${service}`, (at) => {
      this.#words[at] = queueSize;
      this.#words[at + 1] = dataBytes;
      writeName(this.#words, at + 2, NAME_BYTES, peer);
      writeName(this.#words, at + 10, SERVICE_BYTES, service);
    });
    return { channel: reply[2]!, generation: reply[3]! };
  }

  async close(channel: number, generation: number): Promise<void> {
    await this.#request(OP_CLOSE, `close channel ${channel}`, (at) => {
      this.#words[at] = channel;
      this.#words[at + 1] = generation;
    });
  }

  /** Not sent to a server that left the last request unanswered: leaving must not take another deadline. */
  async goodbye(): Promise<void> {
    if (this.#silent) return;
    await this.#request(OP_GOODBYE, 'leave', () => {});
  }

  /** For the region: the control bit was set. Completes the request under way when its reply is there. */
  collectReply(): void {
    const at = this.#base + MEMBER_W.reply;
    // Acquire: pairs with the server's release of the reply's seq.
    if (this.#pending === null || Atomics.load(this.#words, at) !== this.#seq) return;
    const reply = this.#words.slice(at, at + REPLY_WORDS);
    const { operation, resolve, reject } = this.#pending;
    this.#pending = null;
    this.#silent = false;
    if (reply[1] === STATUS_OK) resolve(reply);
    else reject(refusal(reply[1]!, operation, this.#on));
  }

  /** Fails the request under way and those that wait their turn: the region is going. */
  abandon(error: Error): void {
    this.#gone = error;
    this.#fail(error);
  }

  #fail(error: Error): void {
    this.#pending?.reject(error);
    this.#pending = null;
  }

  #request(op: number, operation: string, fill: (argumentsAt: number) => void): Promise<Int32Array> {
    const turn = this.#turn.then(() => this.#send(op, operation, fill));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #send(op: number, operation: string, fill: (argumentsAt: number) => void): Promise<Int32Array> {
    if (this.#gone !== null) throw this.#gone;
    const at = this.#base + MEMBER_W.request;
    fill(at + 2);
    this.#words[at + 1] = op;
    this.#seq = (this.#seq + 1) | 0;
    let timer: NodeJS.Timeout | undefined;
    this.#waiting(1);
    try {
      return await new Promise<Int32Array>((resolve, reject) => {
        this.#pending = { operation, resolve, reject };
        timer = setTimeout(() => {
          this.#silent = true;
          const silent = { operation, on: this.#on, seconds: DEADLINE_SECONDS };
          this.#fail(new IvshmemError('ERR_IVSHMEM_SERVER_SILENT', silent));
        }, DEADLINE_SECONDS * 1000);
        // Release: pairs with the server's acquire of the request's seq. Also the full fence post() asks for.
        Atomics.store(this.#words, at, this.#seq);
        this.#notifyServer();
      });
    } finally {
      clearTimeout(timer);
      this.#waiting(-1);
    }
  }
}
