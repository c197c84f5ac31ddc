import { closeSync } from 'node:fs';
import { parseConfig } from '../../src/host/config/config.ts';
import type { RegionConfig } from '../../src/host/config/schema.ts';
import { silentLog } from '../../src/host/log.ts';
import { readRecords } from '../../src/host/records/records.ts';
import type { JournalSink } from '../../src/host/records/transaction.ts';
import { RegionCore } from '../../src/host/region/region-core.ts';
import type { Pace } from '../../src/host/region/slot-pace.ts';
import type { Slot } from '../../src/host/region/slots.ts';
import {
  LAYOUT_MAJOR,
  LAYOUT_MINOR,
  MEMBER_W,
  NAME_BYTES,
  OP_CONNECT,
  OP_DESCRIBE,
  OP_HELLO,
  OP_LISTEN,
  PAGE_BYTES,
  REPLY_WORDS,
  SERVICE_BYTES,
} from '../../src/memory/layout.ts';
import { encodeItems, type Item } from '../../src/memory/member-record.ts';
import { readTable, type Snapshot } from '../../src/memory/member-table.ts';
import { writeName } from '../../src/memory/names.ts';
import { binding } from '../../src/native/binding.ts';

const OWN = { pid: process.pid, uid: 0, gid: 0 };
export const CLIENT = { pid: 4711, uid: 1000, gid: 100 };

/** Every update is a view, and no request waits. */
const UNLIMITED: Pace = { windowMs: 0, burst: 1e9, perSecond: 1e9 };

/** The death of the server between the commit and what it was about to show. */
export class Killed extends Error {
  override readonly message = 'the server was killed';
}

/** A server's core over plain memory, which can die at any commit and come back from what it kept. */
export class CoreScene {
  readonly config: RegionConfig;
  readonly memory: ArrayBuffer;
  readonly words: Int32Array;
  readonly kept = new Map<string, unknown>();
  readonly #eventfds: number[][];
  /** Commits until the server dies; 0: it lives. */
  dieIn = 0;
  core: RegionCore;

  readonly #pace: Pace;

  constructor(more: object = {}, pace: Pace = UNLIMITED) {
    this.#pace = pace;
    const region = { name: 'scene', socket: '@scene', size: '1M', slots: 8, channels: 16, ...more };
    this.config = parseConfig({ regions: [region] }, 'of a test').regions[0]!;
    this.memory = new ArrayBuffer(this.config.size);
    this.words = new Int32Array(this.memory);
    this.#eventfds = Array.from({ length: this.config.slots }, () => [binding.eventfdCreate()]);
    this.core = this.#build(false);
  }

  /** Another server goes on in the same memory. */
  restart(): void {
    this.core.close();
    this.dieIn = 0;
    this.core = this.#build(true);
  }

  close(): void {
    this.core.close();
    for (const [fd] of this.#eventfds) closeSync(fd!);
  }

  table(): Snapshot {
    const found = readTable(this.words, this.core.tables.membership);
    if ('damaged' in found) throw new Error(found.damaged);
    return found;
  }

  slot(id: number): Slot {
    return this.core.truth.slots.slots[id]!;
  }

  rung(slot: number): number {
    return binding.eventfdDrain(this.#eventfds[slot]![0]!);
  }

  connect(rule = -1): Slot | null {
    const slot = this.core.transactions.run((tx) => this.core.members.connect(tx, CLIENT, rule));
    // From here on the client may use the memory.
    if (slot !== null)
      this.core.transactions.run((tx) => this.core.truth.slots.change(tx, slot, { sent: 3 }));
    return slot;
  }

  disconnect(id: number, reason: number): void {
    this.core.transactions.run((tx) => this.core.members.disconnect(tx, this.slot(id), reason));
  }

  /** Writes a request as a member does. It is served at the next visit. */
  post(slot: number, op: number, ...operands: number[]): number {
    const at = this.request(slot);
    this.words.set(operands, at + 2);
    this.words[at + 1] = op;
    const seq = (this.words[at]! + 1) | 0;
    Atomics.store(this.words, at, seq);
    return seq;
  }

  /** The reply to the last request: status and results; null while there is none. */
  reply(slot: number): number[] | null {
    const at = this.core.tables.members.block(slot) + MEMBER_W.reply;
    if (this.words[at] !== this.words[this.request(slot)]) return null;
    return [...this.words.slice(at + 1, at + REPLY_WORDS)];
  }

  ask(slot: number, op: number, ...operands: number[]): number[] {
    this.post(slot, op, ...operands);
    this.core.visit(slot);
    return this.reply(slot)!;
  }

  hello(
    slot: number,
    name: string,
    generation: number,
    backend = 3,
    minor = LAYOUT_MINOR,
    bytes = 0,
  ): number[] {
    const at = this.request(slot) + 2;
    this.words[at] = (LAYOUT_MAJOR << 16) | minor;
    this.words[at + 1] = generation;
    writeName(this.words, at + 2, NAME_BYTES, name);
    this.words[at + 10] = backend;
    this.words[at + 11] = bytes;
    return this.ask(slot, OP_HELLO);
  }

  listen(slot: number, service: string): number[] {
    writeName(this.words, this.request(slot) + 2, SERVICE_BYTES, service);
    return this.ask(slot, OP_LISTEN);
  }

  connectTo(slot: number, service: string, peer = '', dataBytes = PAGE_BYTES): number[] {
    const at = this.request(slot) + 2;
    writeName(this.words, at + 2, NAME_BYTES, peer);
    writeName(this.words, at + 10, SERVICE_BYTES, service);
    return this.ask(slot, OP_CONNECT, 8, dataBytes);
  }

  describe(slot: number, items: readonly Item[]): number[] {
    return this.ask(slot, OP_DESCRIBE, this.draft(slot, items));
  }

  /** Writes a draft and says how many bytes it has. */
  draft(slot: number, items: readonly Item[]): number {
    const bytes = encodeItems(items);
    const at = (this.core.tables.members.block(slot) + MEMBER_W.draft) * 4;
    new Uint8Array(this.memory, at, bytes.length).set(bytes);
    return bytes.length;
  }

  obituary(slot: number, generation: number, reason: number): void {
    const at = this.core.tables.members.block(slot);
    this.words[at + MEMBER_W.obituaryReason] = reason;
    Atomics.store(this.words, at + MEMBER_W.obituary, generation);
  }

  request(slot: number): number {
    return this.core.tables.members.block(slot) + MEMBER_W.request;
  }

  #build(again: boolean): RegionCore {
    const journal: JournalSink = {
      append: (entries) => {
        // As through a file: nothing is shared with the server that wrote it.
        for (const [key, value] of entries) {
          if (value === null) this.kept.delete(key);
          else this.kept.set(key, JSON.parse(JSON.stringify(value)));
        }
        if (this.dieIn > 0 && --this.dieIn === 0) throw new Killed();
      },
    };
    return new RegionCore(this.config, {
      memory: this.memory,
      directory: null,
      eventfds: this.#eventfds,
      own: OWN,
      log: silentLog,
      journal,
      records: again ? readRecords(this.kept) : null,
      pace: this.#pace,
    });
  }
}
