import { once } from 'node:events';
import type net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Socket } from '../../src/net/index.ts';
import { stateOf } from '../../src/net/socket.ts';
import { checkAnswer, encodeHeader, headerBytes } from '../../src/study/stream/header.ts';
import { LineChecker } from '../../src/study/stream/line-checker.ts';
import type { SocketModule } from '../../src/study/stream/modules.ts';
import { median } from '../harness/statistics.ts';
import type { Taken } from './commands.ts';

const BYTES = 16_384;
/** The stream is left alone for so long before and after each switch. */
const STEADY_MS = 20;
const LIMIT_MS = 30_000;

/**
 * Longest time without a byte of a stream that never stops while its connection goes to TCP and back to shared memory, `switches`
 * times; milliseconds. raw: `still`, the same in as many windows of the same length in which nothing happens, and `window`, those lengths.
 */
export async function measureStalls(
  module: SocketModule,
  target: net.NetConnectOpts,
  switches: number,
): Promise<Taken> {
  const stream = await Stream.open(module, target);
  const { socket } = stream;
  const gaps: number[] = [];
  const still: number[] = [];
  const window: number[] = [];
  try {
    // Once for nothing: the compiler's own pauses.
    for (let i = 0; i < switches + 1; i++) {
      await delay(STEADY_MS);
      // The stream may be on its way to a larger channel just now: who is not on shared memory cannot leave it.
      await until('on shared memory', () => socket.path === 'shared-memory');
      const back = module.fallbacks(socket).length;
      const began = stream.begin();
      stateOf(socket).participant?.leave(socket, 'asked');
      await until('back on TCP', () => module.fallbacks(socket).length > back);
      await until('on shared memory again', () => socket.path === 'shared-memory');
      await delay(STEADY_MS);
      const gap = stream.end();
      const length = performance.now() - began;
      stream.begin();
      await delay(length);
      const quiet = stream.end();
      if (i === 0) continue;
      gaps.push(gap);
      window.push(length);
      still.push(quiet);
    }
  } finally {
    await stream.close();
  }
  return { value: median(gaps), batches: gaps, raw: { still, window } };
}

async function until(what: string, reached: () => boolean): Promise<void> {
  for (const deadline = performance.now() + LIMIT_MS; !reached(); await delay(1))
    if (performance.now() > deadline) throw new Error(`not ${what} within ${LIMIT_MS / 1000} s`);
}

/** A stream of messages that the other side never stops to write, checked, with the longest time between two pieces of it. */
class Stream {
  readonly socket: Socket;
  readonly #checker = new LineChecker(BYTES);
  #last = 0;
  #longest = 0;
  #error: Error | null = null;

  private constructor(socket: Socket) {
    this.socket = socket;
  }

  static async open(module: SocketModule, target: net.NetConnectOpts): Promise<Stream> {
    const socket = module.connect(target) as Socket;
    const stream = new Stream(socket);
    socket.on('error', (error) => {
      stream.#error ??= error;
    });
    await once(socket, 'connect');
    socket.write(encodeHeader({ what: 'feed', bytes: BYTES }));
    await once(socket, 'readable');
    let answer: Buffer | null = null;
    for (; answer === null; answer = socket.read(headerBytes) as Buffer | null)
      if (socket.readableLength < headerBytes) await once(socket, 'readable');
    checkAnswer(answer);
    socket.on('data', (piece) => stream.#take(piece));
    socket.resume();
    await module.onPath(socket);
    return stream;
  }

  #take(piece: Buffer): void {
    const now = performance.now();
    this.#longest = Math.max(this.#longest, now - this.#last);
    this.#last = now;
    try {
      this.#checker.take(piece);
    } catch (error) {
      this.socket.destroy(error as Error);
    }
  }

  /** The longest time counts from now; returns now. */
  begin(): number {
    this.#longest = 0;
    this.#last = performance.now();
    return this.#last;
  }

  /** @throws Error when the stream broke. */
  end(): number {
    if (this.#error !== null) throw this.#error;
    if (this.socket.closed) throw new Error('the stream was closed');
    return Math.max(this.#longest, performance.now() - this.#last);
  }

  async close(): Promise<void> {
    this.socket.destroy();
    if (!this.socket.closed) await once(this.socket, 'close');
  }
}
