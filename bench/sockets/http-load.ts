import { once } from 'node:events';
import net from 'node:net';

/** Body of every answer. */
export const body = Buffer.from(
  'It is the same page for everybody, and it is one kilobyte long. '.repeat(16),
);
const request = 'GET /page HTTP/1.1\r\nHost: bench\r\nConnection: keep-alive\r\n\r\n';
const statusLine = Buffer.from('HTTP/1.1 200 OK\r\n');

/** Keep-alive connections to one HTTP server, each with one request under way. Answers are checked: status and body. */
export class HttpLoad {
  readonly #sockets: net.Socket[] = [];
  #toSend = 0;
  #toCome = 0;
  #finish = () => {};
  #fail = (_: Error) => {};

  static async open(target: net.NetConnectOpts, connections: number): Promise<HttpLoad> {
    const load = new HttpLoad();
    for (let i = 0; i < connections; i++) await load.#connect(target);
    return load;
  }

  /** Resolves when `n` requests were answered. @throws Error when an answer is wrong or a connection breaks. */
  step(n: number): Promise<void> {
    this.#toSend = n;
    this.#toCome = n;
    const done = new Promise<void>((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
    });
    for (const socket of this.#sockets) this.#send(socket);
    return done;
  }

  /** Local ports of its connections. */
  get ports(): number[] {
    return this.#sockets.map(({ localPort }) => localPort ?? 0);
  }

  /** Opens those connections anew whose local ports these are; no request is under way. */
  async reopen(ports: readonly number[], target: net.NetConnectOpts): Promise<void> {
    for (const socket of this.#sockets.filter(({ localPort }) => ports.includes(localPort ?? 0))) {
      this.#sockets.splice(this.#sockets.indexOf(socket), 1);
      await this.#end(socket);
      await this.#connect(target);
    }
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) await this.#end(socket);
  }

  async #end(socket: net.Socket): Promise<void> {
    this.#fail = () => {};
    socket.destroy();
    if (!socket.closed) await once(socket, 'close');
  }

  async #connect(target: net.NetConnectOpts): Promise<void> {
    const socket = net.connect({ ...target, noDelay: true });
    await once(socket, 'connect');
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the server closed a connection')));
    let held: Buffer | null = null;
    // Every answer is as long as the first: the date has a fixed length.
    let length = 0;
    socket.on('data', (piece: Buffer) => {
      const bytes = held === null ? piece : Buffer.concat([held, piece]);
      if (length === 0) {
        const end = bytes.indexOf('\r\n\r\n');
        if (end >= 0) length = end + 4 + body.length;
      }
      held = length > 0 && bytes.length >= length ? null : bytes;
      if (held === null) this.#answered(socket, bytes, length);
    });
    this.#sockets.push(socket);
  }

  #send(socket: net.Socket): void {
    if (this.#toSend <= 0) return;
    this.#toSend--;
    socket.write(request, 'latin1');
  }

  #answered(socket: net.Socket, answer: Buffer, length: number): void {
    const right =
      answer.length === length &&
      answer.compare(statusLine, 0, statusLine.length, 0, statusLine.length) === 0 &&
      answer.compare(body, 0, body.length, length - body.length) === 0;
    if (!right) {
      this.#fail(new Error(`an answer is wrong: ${answer.toString('latin1', 0, 200)}`));
      return;
    }
    if (--this.#toCome === 0) this.#finish();
    else this.#send(socket);
  }
}
