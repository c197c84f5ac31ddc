import type { Socket } from 'node:net';
import { connectSocket } from '../../../qemu/connect.ts';

/** QEMU's qtest protocol: reads and writes of a machine's ports and memory from outside, no guest needed. */
export class Qtest {
  readonly #socket: Socket;
  readonly #waiting: { resolve: (answer: string) => void; reject: (error: Error) => void }[] = [];
  #text = '';

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => this.#take(chunk));
    socket.on('close', () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error('QEMU closed the qtest socket'));
    });
  }

  static async connect(path: string, signal: AbortSignal): Promise<Qtest> {
    return new Qtest(await connectSocket(path, signal));
  }

  async outl(port: number, value: number): Promise<void> {
    await this.#send(`outl ${hex(port)} ${hex(value)}`);
  }

  async inl(port: number): Promise<number> {
    return Number(await this.#send(`inl ${hex(port)}`));
  }

  async writel(address: number, value: number): Promise<void> {
    await this.#send(`writel ${hex(address)} ${hex(value)}`);
  }

  async readl(address: number): Promise<number> {
    return Number(await this.#send(`readl ${hex(address)}`));
  }

  close(): void {
    this.#socket.destroy();
  }

  #send(command: string): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) reject(new Error('QEMU closed the qtest socket'));
      this.#waiting.push({ resolve, reject });
      this.#socket.write(`${command}\n`);
    });
  }

  #take(chunk: string): void {
    this.#text += chunk;
    for (let end = this.#text.indexOf('\n'); end >= 0; end = this.#text.indexOf('\n')) {
      const line = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 1);
      const waiting = this.#waiting.shift();
      if (line.startsWith('OK')) waiting?.resolve(line.slice(2).trim());
      else waiting?.reject(new Error(`qtest: ${line}`));
    }
  }
}

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}
