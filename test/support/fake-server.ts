/** A server that does only what a test says: it answers requests, publishes views, and writes down what it was told. */

import { crc32 } from 'node:zlib';
import { IvshmemDevice } from '../../src/ivshmem/index.ts';
import { readHeader, writeHeader } from '../../src/memory/header.ts';
import {
  CONTROL_BIT,
  HEADER_W,
  MEMBER_W,
  OP_HELLO,
  OP_REFRESH,
  PAGE_BYTES,
  REQUEST_WORDS,
  SERVER_SLOT,
} from '../../src/memory/layout.ts';
import { type MembershipPlace, membershipPlace } from '../../src/memory/membership.ts';
import { readName } from '../../src/memory/names.ts';
import { arm, collect, post } from '../../src/memory/pending.ts';
import { binding } from '../../src/native/binding.ts';
import { type LinkedBackend, linkedBackends } from '../../src/testing/linked-backends.ts';
import { ViewWriter } from './view-writer.ts';

const REGION_BYTES = 4 << 20;

export interface Asked {
  readonly slot: number;
  readonly op: number;
  /** The first argument. */
  readonly argument: number;
}

export class FakeServer {
  readonly views: ViewWriter;
  readonly backends: readonly LinkedBackend[];
  readonly asked: Asked[] = [];
  /** Slots that were marked without a request: an obituary, an answer to a pulse. */
  readonly visited: number[] = [];
  /** The status of the answer to an operation; undefined: no answer. */
  answer: (op: number, slot: number) => number | undefined = () => 0;
  /** Whether REFRESH writes the tables. */
  heals = true;
  readonly words: Int32Array;
  readonly place: MembershipPlace;
  readonly #seen = new Map<number, number>();
  readonly #watch;

  constructor(members: number) {
    this.backends = linkedBackends(members + 1, REGION_BYTES);
    const [own] = this.backends;
    const { buffer } = own!.memory;
    const shape = { slots: members + 1, vectors: 2, channels: 16, regionBytes: REGION_BYTES };
    writeHeader(buffer, { ...shape, uuid: new Uint8Array(16), name: 'fake' });
    const header = readHeader(buffer);
    this.words = new Int32Array(buffer, 0, (header.heapPage * PAGE_BYTES) / 4);
    this.place = membershipPlace(header)!;
    this.views = new ViewWriter(this.words, this.place);
    this.#watch = new binding.FdWatch(own!.interrupts[0]!, () => this.serve());
    this.#watch.start(true, false);
    this.#watch.ref();
    arm(this.words, this.block(SERVER_SLOT));
  }

  /** The header says that this region has no membership part. */
  useLayout10(): void {
    this.words[HEADER_W.version] = 1 << 16;
    this.words[HEADER_W.membershipPage] = 0;
    const head = new Uint8Array(this.words.buffer as ArrayBuffer, 0, HEADER_W.checksum * 4);
    this.words[HEADER_W.checksum] = crc32(head) | 0;
  }

  /** Stops keeping the process alive. */
  unref(): void {
    this.#watch.unref();
  }

  /** The device of a member, to be closed by its region. */
  device(slot: number): IvshmemDevice {
    return new IvshmemDevice(this.backends[slot]!);
  }

  block(slot: number): number {
    const { memberPage } = readHeader(this.backends[0]!.memory.buffer);
    return ((memberPage + slot) * PAGE_BYTES) / 4;
  }

  /** A word of a member's block. */
  word(slot: number, at: number): number {
    return Atomics.load(this.words, this.block(slot) + at);
  }

  /** Tells those who watch, as after every view. */
  tell(): void {
    for (let slot = 1; slot < this.backends.length; slot++)
      if (this.word(slot, MEMBER_W.watching) !== 0) this.notify(slot);
  }

  notify(slot: number): void {
    if (post(this.words, this.block(slot), CONTROL_BIT)) this.backends[0]!.ring(slot, 0);
  }

  pulse(slot: number, number: number): void {
    Atomics.store(this.words, this.block(slot) + MEMBER_W.pulse, number);
    this.notify(slot);
  }

  serve(): void {
    binding.eventfdDrain(this.backends[0]!.interrupts[0]!);
    const own = this.block(SERVER_SLOT);
    do collect(this.words, own, (slot) => this.#visit(slot));
    while (!arm(this.words, own));
  }

  close(): void {
    this.#watch.close();
    for (const backend of this.backends) backend.close();
  }

  #visit(slot: number): void {
    const block = this.block(slot);
    const at = block + MEMBER_W.request;
    const seq = Atomics.load(this.words, at);
    if (seq === (this.#seen.get(slot) ?? 0)) {
      this.visited.push(slot);
      return;
    }
    const request = this.words.slice(at, at + REQUEST_WORDS);
    const op = request[1]!;
    const status = this.answer(op, slot);
    if (status === undefined) return;
    this.#seen.set(slot, seq);
    this.asked.push({ slot, op, argument: request[2]! });
    if (op === OP_REFRESH && this.heals && status === 0) this.views.rewrite();
    if (op === OP_HELLO && status === 0) {
      this.views.join(slot, readName(request, 4, 32), request[3]!);
      this.tell();
    }
    this.words.set([status, 1], block + MEMBER_W.reply + 1);
    Atomics.store(this.words, block + MEMBER_W.reply, seq);
    this.notify(slot);
  }
}
