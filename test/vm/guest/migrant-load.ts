import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import tls from 'node:tls';
import { crc32 } from 'node:zlib';
import { pathOf } from '../../../src/transparent/index.ts';
import { PORTS, SHARED_KEY_HERE } from './migrant-ports.ts';

/** A processor that is emulated needs time for others too. */
const PAUSE_MS = 60;
const BULK_BYTES = 16 << 10;
const POOL = 3;

/** What one kind of load did so far. */
export interface Talked {
  readonly kind: string;
  /** Answers that were right, byte by byte, and bytes that came with them. */
  readonly rounds: number;
  readonly bytes: number;
  /** What was wrong; the first of it. */
  readonly fault: string | null;
  readonly ended: boolean;
  /** The path of each connection and the reason for it, and how many there ever were. */
  readonly paths: readonly string[];
  readonly reasons: readonly string[];
  readonly connections: number;
}

export interface Load {
  look(): Talked[];
  /** Ends every connection in order; resolves when they are closed. */
  stop(): Promise<void>;
}

/** One kind of load on the servers at an address. */
abstract class Talk {
  abstract readonly kind: string;
  protected going = true;
  protected rounds = 0;
  protected bytes = 0;
  protected connections = 0;
  #fault: string | null = null;
  #ended = false;

  protected abstract run(): Promise<void>;
  protected abstract get sockets(): net.Socket[];

  start(): this {
    this.run()
      .catch((error: Error) => this.fail(error.message))
      .finally(() => {
        this.#ended = true;
      });
    return this;
  }

  look(): Talked {
    const { kind, rounds, bytes, connections } = this;
    const ways = this.sockets.map(pathOf);
    const paths = ways.map(({ path }) => path);
    const reasons = ways.map(({ reason }) => reason);
    return { kind, rounds, bytes, fault: this.#fault, ended: this.#ended, paths, reasons, connections };
  }

  async stop(): Promise<void> {
    this.going = false;
    while (!this.#ended) await delay(PAUSE_MS);
  }

  protected fail(why: string): void {
    this.#fault ??= why;
    this.going = false;
  }

  protected watch(socket: net.Socket): void {
    this.connections++;
    socket.on('error', (error) => this.fail(error.message));
    socket.on('close', () => {
      if (this.going) this.fail('the connection was closed');
    });
  }
}

/** Writes as fast as it is allowed to, and compares every byte that comes back with its place in the stream. */
class Bulk extends Talk {
  readonly kind = 'bulk';
  readonly #socket: net.Socket;

  constructor(address: string) {
    super();
    this.#socket = net.connect(PORTS.echo, address);
    this.watch(this.#socket);
  }

  protected get sockets(): net.Socket[] {
    return [this.#socket];
  }

  protected async run(): Promise<void> {
    const socket = this.#socket;
    const pattern = Buffer.alloc(2 * BULK_BYTES);
    for (let i = 0; i < pattern.length; i++) pattern[i] = Math.imul(i % 251, 31) & 0xff;
    // The pattern repeats every 251 bytes: any run of it starts at its place modulo that.
    socket.on('data', (data: Buffer) => {
      for (let at = 0; at < data.length; at += BULK_BYTES) {
        const piece = data.subarray(at, at + BULK_BYTES);
        const from = (this.bytes + at) % 251;
        if (!piece.equals(pattern.subarray(from, from + piece.length)))
          this.fail(`wrong bytes around ${this.bytes + at}`);
      }
      this.bytes += data.length;
      this.rounds++;
    });
    await once(socket, 'connect');
    let sent = 0;
    while (this.going) {
      const from = sent % 251;
      sent += BULK_BYTES;
      if (!socket.write(pattern.subarray(from, from + BULK_BYTES)))
        while (socket.writableNeedDrain && !socket.destroyed) await delay(PAUSE_MS);
      await delay(PAUSE_MS);
    }
    socket.end();
    await closed(socket);
    if (this.bytes !== sent) this.fail(`${sent} bytes were sent, ${this.bytes} came back`);
  }
}

/** Question and answer, one at a time. */
class Rounds extends Talk {
  readonly kind: string;
  readonly #socket: net.Socket;
  readonly #connected: Promise<unknown>;

  constructor(kind: 'rounds' | 'tls', address: string) {
    super();
    this.kind = kind;
    const secure = kind === 'tls';
    this.#socket = secure
      ? tls.connect({ port: PORTS.tls, host: address, ...SHARED_KEY_HERE })
      : net.connect(PORTS.echo, address);
    this.#connected = once(this.#socket, secure ? 'secureConnect' : 'connect');
    this.watch(this.#socket);
  }

  protected get sockets(): net.Socket[] {
    return [this.#socket];
  }

  protected async run(): Promise<void> {
    const socket = this.#socket;
    await this.#connected;
    const reader = new Reader(socket);
    while (this.going) {
      const question = bodyOf(this.rounds);
      socket.write(question);
      const answer = await reader.read(question.length);
      if (answer === null) break;
      if (!answer.equals(question)) this.fail(`round ${this.rounds} was answered with something else`);
      this.rounds++;
      this.bytes += answer.length;
      await delay(PAUSE_MS);
    }
    socket.end();
    await closed(socket);
  }
}

/** Requests over a pool of connections that are kept. */
class Pages extends Talk {
  readonly kind = 'http';
  readonly #address: string;
  readonly #sockets = new Set<net.Socket>();
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: POOL });

  constructor(address: string) {
    super();
    this.#address = address;
  }

  protected get sockets(): net.Socket[] {
    return [...this.#sockets];
  }

  protected async run(): Promise<void> {
    await Promise.all(Array.from({ length: POOL }, () => this.#ask()));
    this.#agent.destroy();
    await Promise.all(this.sockets.map(closed));
  }

  async #ask(): Promise<void> {
    while (this.going) {
      const body = bodyOf(this.rounds);
      const { status, answer } = await this.#request(body);
      if (status !== 200 || crc32(answer) !== crc32(body)) this.fail(`request ${this.rounds}: ${status}`);
      this.rounds++;
      this.bytes += answer.length;
      await delay(PAUSE_MS);
    }
  }

  #request(body: Buffer): Promise<{ status: number | undefined; answer: Buffer }> {
    return new Promise((resolve, reject) => {
      const options = { host: this.#address, port: PORTS.http, agent: this.#agent, method: 'POST' };
      const request = http.request(options, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (data: Buffer) => parts.push(data));
        response.on('end', () => resolve({ status: response.statusCode, answer: Buffer.concat(parts) }));
        response.on('error', reject);
      });
      request.on('socket', (socket) => {
        if (this.#sockets.has(socket)) return;
        this.#sockets.add(socket);
        this.watch(socket);
      });
      request.on('error', reject);
      request.end(body);
    });
  }
}

/** Hands out what comes in pieces of a length. */
class Reader {
  #got = Buffer.alloc(0);
  #look = (): void => {};
  readonly #socket: net.Socket;

  constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on('data', (data: Buffer) => {
      this.#got = Buffer.concat([this.#got, data]);
      this.#look();
    });
    socket.on('close', () => this.#look());
  }

  /** Null when the connection ends before. */
  read(length: number): Promise<Buffer | null> {
    return new Promise((resolve) => {
      this.#look = () => {
        if (this.#got.length < length && !this.#socket.destroyed) return;
        this.#look = () => {};
        const piece = this.#got.length < length ? null : this.#got.subarray(0, length);
        this.#got = this.#got.subarray(length);
        resolve(piece);
      };
      this.#look();
    });
  }
}

async function closed(socket: net.Socket): Promise<void> {
  while (!socket.closed) await delay(PAUSE_MS);
}

/** The body of one round: of changing length, each byte by its place. */
function bodyOf(round: number): Buffer {
  const body = Buffer.alloc(64 + ((round * 397) % 4000));
  for (let i = 0; i < body.length; i++) body[i] = (round + Math.imul(i, 7)) & 0xff;
  return body;
}

/** Loads the servers of the migrant at an address. */
export function startLoad(address: string): Load {
  const talks = [
    new Bulk(address),
    new Rounds('rounds', address),
    new Rounds('tls', address),
    new Pages(address),
  ].map((talk) => talk.start());
  return {
    look: () => talks.map((talk) => talk.look()),
    stop: async () => {
      await Promise.all(talks.map((talk) => talk.stop()));
    },
  };
}
