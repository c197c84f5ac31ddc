import { IvshmemError } from '../errors/index.ts';
import {
  type Consistency,
  LAYOUT_MAJOR,
  LAYOUT_MINOR,
  MEMBER_W,
  NAME_BYTES,
  OP_CLOSE,
  OP_CONNECT,
  OP_DESCRIBE,
  OP_DRAIN,
  OP_GOODBYE,
  OP_HELLO,
  OP_LISTEN,
  OP_REFRESH,
  OP_SPACE_CLOSE,
  OP_SPACE_OPEN,
  OP_SPACE_REMOVE,
  OP_SPACE_REVOKE,
  OP_SUSPECT,
  OP_UNLISTEN,
  REPLY_WORDS,
  SERVICE_BYTES,
  SPACE_NAME_BYTES,
  SPACE_PERSISTENT,
  SPACE_RELEASE,
  SPACE_REPLICAS_SHIFT,
  SPACE_SPREAD,
  STATUS_OK,
} from '../memory/layout.ts';
import { writeName } from '../memory/names.ts';
import { refusal } from './refusal.ts';

const DEADLINE_SECONDS = 10;
const DEADLINE_MS = DEADLINE_SECONDS * 1000;
/** What lets go of something: sent however long the server was away, for nobody asks it again. */
const RELEASES: ReadonlySet<number> = new Set([OP_CLOSE, OP_UNLISTEN, OP_SPACE_CLOSE]);
/** How long an unanswered request waits before the server is rung again; doubled each time, up to the second. */
const AGAIN_MS = 20;
const AGAIN_MOST_MS = 1000;

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
  readonly #notifyServer: (again: boolean) => void;
  readonly #waiting: (change: 1 | -1) => void;
  #seq: number;
  #turn: Promise<unknown> = Promise.resolve();
  #pending: Pending | null = null;
  #silent = false;
  #leaving = false;
  /** Why no request can be made any more. */
  #gone: Error | null = null;

  /**
   * `notifyServer` marks our slot in the server's block and rings if the server sleeps; again: rings whatever `armed` says, for
   * who took the word may have died before it rang, or the doorbell went to a server that was restarted.
   */
  constructor(
    words: Int32Array,
    base: number,
    on: string,
    notifyServer: (again: boolean) => void,
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

  /** `generation`: random, not 0; names this life of the driver. `backend`: index into BACKENDS. Resolves to the slot's epoch. */
  /** `draft`: a description as encodeDescription makes it. */
  async hello(name: string, generation: number, backend: number, draft: Uint8Array): Promise<number> {
    const reply = await this.#request(OP_HELLO, `join as ${name}`, (at) => {
      this.#words[at] = (LAYOUT_MAJOR << 16) | LAYOUT_MINOR;
      this.#words[at + 1] = generation;
      writeName(this.#words, at + 2, NAME_BYTES, name);
      this.#words[at + 2 + NAME_BYTES / 4] = backend;
      this.#words[at + 3 + NAME_BYTES / 4] = this.#writeDraft(draft);
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

  /** `mode`: one of OPEN_*. `bytes`: the least it must have, 0 for whatever it has. `pageShift`: log2 of the page size of a spread one. */
  async openSpace(
    name: string,
    {
      mode,
      persistent,
      bytes,
      pageShift = 0,
      consistency = 'sequential',
      replicas = 1,
    }: {
      mode: number;
      persistent: boolean;
      bytes: number;
      pageShift?: number;
      consistency?: Consistency;
      replicas?: number;
    },
  ): Promise<{ space: number; generation: number; firstPage: number; pages: number; created: boolean }> {
    const reply = await this.#request(OP_SPACE_OPEN, `open the space ${name}`, (at) => {
      this.#words[at] = mode;
      this.#words[at + 1] =
        (persistent ? SPACE_PERSISTENT : 0) |
        (pageShift > 0 ? SPACE_SPREAD : 0) |
        (consistency === 'release' ? SPACE_RELEASE : 0) |
        ((replicas - 1) << SPACE_REPLICAS_SHIFT);
      this.#words[at + 2] = bytes >>> 0;
      this.#words[at + 3] = Math.floor(bytes / 2 ** 32);
      writeName(this.#words, at + 4, SPACE_NAME_BYTES, name);
      this.#words[at + 4 + SPACE_NAME_BYTES / 4] = pageShift;
    });
    const result = (index: number): number => reply[2 + index]! >>> 0;
    return {
      space: result(0),
      generation: result(1),
      firstPage: result(2),
      pages: result(3),
      created: result(4) !== 0,
    };
  }

  async closeSpace(space: number, generation: number): Promise<void> {
    await this.#request(OP_SPACE_CLOSE, `close space ${space}`, (at) => {
      this.#words[at] = space;
      this.#words[at + 1] = generation;
    });
  }

  /** How many members still hold it; of a spread one, how many hosts have such. `force`: a spread one, and how many had. */
  async removeSpace(name: string, force: boolean): Promise<number> {
    const op = force ? OP_SPACE_REVOKE : OP_SPACE_REMOVE;
    const reply = await this.#request(op, `remove the space ${name}`, (at) =>
      writeName(this.#words, at, SPACE_NAME_BYTES, name),
    );
    return reply[2]!;
  }

  /** `draft`: items (addresses and labels), at most DRAFT_BYTES. */
  async describe(draft: Uint8Array): Promise<void> {
    await this.#request(OP_DESCRIBE, 'describe this member', (at) => {
      this.#words[at] = this.#writeDraft(draft);
    });
  }

  async drain(): Promise<void> {
    await this.#requestOf(OP_DRAIN, 'drain');
  }

  /** Asks for SUSPECT views of members that give no sign of life for so long; 0: no longer. */
  async suspect(milliseconds: number): Promise<void> {
    await this.#requestOf(OP_SUSPECT, 'watch for suspects', milliseconds);
  }

  /** Asks the server to write the shared tables again. */
  async refresh(): Promise<void> {
    await this.#requestOf(OP_REFRESH, 'refresh the membership table');
  }

  /**
   * Not sent to a server that left the last request unanswered: leaving must not take another deadline. False then.
   * `reason`: one of REASON_*.
   */
  async goodbye(reason: number): Promise<boolean> {
    if (this.#silent) return false;
    this.#leaving = true;
    await this.#requestOf(OP_GOODBYE, 'leave', reason);
    return true;
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
    this.#gone ??= error;
    this.#fail(this.#gone);
  }

  #writeDraft(draft: Uint8Array): number {
    const at = this.#words.byteOffset + (this.#base + MEMBER_W.draft) * 4;
    new Uint8Array(this.#words.buffer, at, draft.length).set(draft);
    return draft.length;
  }

  #fail(error: Error): void {
    this.#pending?.reject(error);
    this.#pending = null;
  }

  #silence(operation: string): IvshmemError {
    const silent = { operation, on: this.#on, seconds: DEADLINE_SECONDS };
    return new IvshmemError('ERR_IVSHMEM_SERVER_SILENT', silent);
  }

  #requestOf(op: number, operation: string, argument = 0): Promise<Int32Array> {
    return this.#request(op, operation, (at) => {
      this.#words[at] = argument;
    });
  }

  #request(op: number, operation: string, fill: (argumentsAt: number) => void): Promise<Int32Array> {
    const asked = performance.now();
    const turn = this.#turn.then(() => this.#send(op, operation, fill, asked));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #send(
    op: number,
    operation: string,
    fill: (argumentsAt: number) => void,
    asked: number,
  ): Promise<Int32Array> {
    if (this.#gone !== null) throw this.#gone;
    // Behind one that was not answered the time runs from when it was asked: a server that is gone is waited for once, not once for each.
    const once = this.#silent && (this.#leaving || !RELEASES.has(op));
    const patienceMs = once ? asked + DEADLINE_MS - performance.now() : DEADLINE_MS;
    if (patienceMs <= 0) throw this.#silence(operation);
    const at = this.#base + MEMBER_W.request;
    fill(at + 2);
    this.#words[at + 1] = op;
    this.#seq = (this.#seq + 1) | 0;
    let timer: NodeJS.Timeout | undefined;
    let again: NodeJS.Timeout | undefined;
    const ringLater = (ms: number): void => {
      again = setTimeout(() => {
        // Our own doorbell may be the one that was lost.
        this.collectReply();
        if (this.#pending === null) return;
        this.#notifyServer(true);
        ringLater(Math.min(ms * 2, AGAIN_MOST_MS));
      }, ms).unref();
    };
    this.#waiting(1);
    try {
      return await new Promise<Int32Array>((resolve, reject) => {
        this.#pending = { operation, resolve, reject };
        timer = setTimeout(() => {
          this.#silent = true;
          this.#fail(this.#silence(operation));
        }, patienceMs);
        // Release: pairs with the server's acquire of the request's seq. Also the full fence post() asks for.
        Atomics.store(this.#words, at, this.#seq);
        this.#notifyServer(false);
        ringLater(AGAIN_MS);
      });
    } finally {
      clearTimeout(timer);
      clearTimeout(again);
      this.#waiting(-1);
    }
  }
}
