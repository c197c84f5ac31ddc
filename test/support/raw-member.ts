import type { Backend } from '../../src/backend/backend.ts';
import { openHost } from '../../src/backend/host.ts';
import { readHeader } from '../../src/memory/header.ts';
import {
  CHANNEL_BYTES,
  CHANNEL_W,
  LAYOUT_MAJOR,
  MEMBER_BYTES,
  MEMBER_W,
  NAME_BYTES,
  OP_CLOSE,
  OP_CONNECT,
  OP_HELLO,
  OP_LISTEN,
  PAGE_BYTES,
  REPLY_WORDS,
  SERVER_SLOT,
  SERVICE_BYTES,
  SLOT_BYTES,
} from '../../src/memory/layout.ts';
import { writeName } from '../../src/memory/names.ts';
import { post } from '../../src/memory/pending.ts';
import { until } from './protocol/until.ts';

const RING_AGAIN_MS = 20;

/** A member that plays the request mailbox by hand, so that a test can also play it wrongly. */
export class RawMember {
  readonly backend: Backend;
  readonly words: Int32Array;
  readonly header: ReturnType<typeof readHeader>;

  private constructor(backend: Backend) {
    this.backend = backend;
    this.words = new Int32Array(backend.memory.buffer);
    this.header = readHeader(backend.memory.buffer);
  }

  static async join(socket: string): Promise<RawMember> {
    return new RawMember(await openHost(socket));
  }

  get slot(): number {
    return this.backend.ivPosition;
  }

  block(slot = this.slot): number {
    return (this.header.memberPage * PAGE_BYTES + slot * MEMBER_BYTES) / 4;
  }

  slotEntry(slot = this.slot): Int32Array {
    const at = (this.header.slotTablePage * PAGE_BYTES + slot * SLOT_BYTES) / 4;
    return this.words.slice(at, at + SLOT_BYTES / 4);
  }

  channelEntry(number: number): Int32Array {
    const at = (this.header.channelTablePage * PAGE_BYTES + number * CHANNEL_BYTES) / 4;
    return this.words.slice(at, at + CHANNEL_BYTES / 4);
  }

  closed(number: number): number {
    return this.channelEntry(number)[CHANNEL_W.closed]!;
  }

  get eventCount(): number {
    return Atomics.load(this.words, this.block() + MEMBER_W.eventCount);
  }

  /** One request; resolves to [status, results...]. */
  async request(op: number, ...operands: number[]): Promise<number[]> {
    const at = this.block() + MEMBER_W.request;
    this.words.set(operands, at + 2);
    return this.send(op);
  }

  /** Sends what the argument words hold already. */
  async send(op: number): Promise<number[]> {
    const at = this.block() + MEMBER_W.request;
    const seq = (this.words[at]! + 1) | 0;
    this.words[at + 1] = op;
    Atomics.store(this.words, at, seq);
    this.ringServer();
    const reply = this.block() + MEMBER_W.reply;
    // As a member must: whoever took `armed` from the server may have died before it rang.
    const again = setInterval(() => this.backend.ring(SERVER_SLOT, 0), RING_AGAIN_MS);
    try {
      await until('the server answers', () => Atomics.load(this.words, reply) === seq, 10);
    } finally {
      clearInterval(again);
    }
    return [...this.words.slice(reply + 1, reply + REPLY_WORDS)];
  }

  ringServer(index = this.slot): void {
    if (post(this.words, this.block(SERVER_SLOT), index)) this.backend.ring(SERVER_SLOT, 0);
  }

  async hello(name: string, generation = 1, major = LAYOUT_MAJOR): Promise<number[]> {
    const at = this.block() + MEMBER_W.request + 2;
    this.words[at] = major << 16;
    this.words[at + 1] = generation;
    writeName(this.words, at + 2, NAME_BYTES, name);
    return this.send(OP_HELLO);
  }

  async listen(service: string): Promise<number[]> {
    writeName(this.words, this.block() + MEMBER_W.request + 2, SERVICE_BYTES, service);
    return this.send(OP_LISTEN);
  }

  async connect(service: string, peer = '', queueSize = 8, dataBytes = PAGE_BYTES): Promise<number[]> {
    const at = this.block() + MEMBER_W.request + 2;
    this.words[at] = queueSize;
    this.words[at + 1] = dataBytes;
    writeName(this.words, at + 2, NAME_BYTES, peer);
    writeName(this.words, at + 10, SERVICE_BYTES, service);
    return this.send(OP_CONNECT);
  }

  async close(channel: number, generation: number): Promise<number[]> {
    return this.request(OP_CLOSE, channel, generation);
  }

  /** Ends the connection: death, as the server sees it. */
  die(): void {
    this.backend.close();
  }
}
