import { binding, type FdWatch } from '../../src/native/binding.ts';
import { hostsBinding } from '../../src/native/hosts-binding.ts';

const { abi } = hostsBinding();
const word = (name: string): number => abi[name]! / 4;

export type Access = 'read' | 'write';
const RIGHT = { read: 1, write: 2 } as const;

/** What of an allocation a member is given. */
export interface SpreadMemory {
  readonly buffer: ArrayBuffer;
  readonly at: number;
  readonly bytes: number;
}

/**
 * A member of a spread space without mappings: it asks for pages and does its node's orders by the book, and what it may touch it
 * touches in the frames. Orders are done on turns of the event loop, so what happens in one turn is one access.
 */
export class SpreadMember {
  readonly opened: number;
  readonly eventfd = binding.eventfdCreate();
  /** Orders that are not done while it is set. */
  idle = false;
  orders = 0;
  readonly #control: Int32Array;
  readonly #own: Int32Array;
  readonly #memory: DataView;
  readonly #pages = new Map<number, { frame: number; right: number }>();
  readonly #failed = new Map<number, number>();
  readonly #slot: number;
  readonly #bell: number;
  readonly #watch: FdWatch;
  readonly #framesOffset: number;
  readonly #pageBytes: number;
  #done = 0;
  #tickets = 0;
  readonly #synced = new Map<number, number>();
  #woken: (() => void)[] = [];
  /** Told of every page that was mapped, or failed. */
  readonly #asking = new Set<(page: number) => unknown>();

  constructor({ buffer, at, bytes }: SpreadMemory, slot: number, bell: number) {
    this.#slot = slot;
    this.#bell = bell;
    this.#memory = new DataView(buffer, at, bytes);
    this.#control = new Int32Array(buffer, at, abi.controlPage! / 4);
    const members = Number(this.#memory.getBigUint64(abi.membersOffset!, true));
    this.#own = new Int32Array(buffer, at + members + slot * abi.controlPage!, abi.controlPage! / 4);
    this.#framesOffset = Number(this.#memory.getBigUint64(abi.framesOffset!, true));
    this.#pageBytes = 2 ** this.#control[word('pageShift')]!;
    this.#watch = new binding.FdWatch(this.eventfd, () => this.#ringing());
    this.#watch.start(true, false);
    this.#watch.ref();
    this.opened = 1 + Math.floor(Math.random() * 0x7ffffffe);
  }

  get pageBytes(): number {
    return this.#pageBytes;
  }

  /** The words of its page, for those who want to write nonsense there. */
  get words(): Int32Array {
    return this.#own;
  }

  /** Resolves when the node serves it. */
  async open(): Promise<void> {
    this.#own.fill(0);
    this.#done = 0;
    Atomics.store(this.#own, word('opened'), this.opened);
    this.mark();
    while (Atomics.load(this.#own, word('served')) !== this.opened) await this.#wake();
  }

  close(): void {
    this.#pages.clear();
    Atomics.store(this.#own, word('opened'), 0);
    this.mark();
    this.#watch.close();
  }

  /** One entry of the fault ring, whatever it says. */
  async post(page: bigint, access: number, count: number): Promise<void> {
    for (;;) {
      const head = Atomics.load(this.#own, word('faultHead'));
      if ((head - Atomics.load(this.#own, word('faultTail'))) >>> 0 < abi.faultEntries!) break;
      await this.#wake();
    }
    const head = this.#own[word('faultHead')]!;
    const place =
      this.#own.byteOffset + abi.faultRing! + ((head >>> 0) % abi.faultEntries!) * abi.entryBytes!;
    const entry = new DataView(this.#own.buffer, place, abi.entryBytes!);
    entry.setBigUint64(abi.entryPage!, page, true);
    entry.setUint32(abi.faultAccess!, access, true);
    entry.setUint32(abi.faultCount!, count, true);
    Atomics.store(this.#own, word('faultHead'), (head + 1) | 0);
    this.mark();
  }

  mark(): void {
    Atomics.or(this.#control, word('summary') + (this.#slot >> 5), 1 << (this.#slot & 31));
    if (Atomics.exchange(this.#control, word('nodeArmed'), 0) === 1) binding.eventfdSignal(this.#bell);
  }

  right(page: number): number {
    return this.#pages.get(page)?.right ?? 0;
  }

  /** Resolves in the turn in which the page may be touched. Rejects with the failure's number as `failure`. */
  async acquire(page: number, access: Access, count = 1): Promise<void> {
    const wanted = Array.from({ length: count }, (_, i) => page + i);
    const lacks = (one: number): boolean => this.right(one) < RIGHT[access];
    for (const one of wanted) this.#failed.delete(one);
    let missing = wanted.filter(lacks);
    while (missing.length > 0) {
      await this.post(BigInt(missing[0]!), RIGHT[access] - 1, missing.at(-1)! - missing[0]! + 1);
      // Each asked for ends one way or the other; it may be taken away again before the rest is here.
      const open = new Set(missing);
      const answered = (page: number): unknown => open.delete(page);
      this.#asking.add(answered);
      while (open.size > 0) await this.#wake();
      this.#asking.delete(answered);
      for (const one of wanted) {
        const failure = this.#failed.get(one);
        if (failure !== undefined) throw Object.assign(new Error(`page ${one} failed`), { failure });
      }
      missing = count === 1 ? wanted.filter(lacks) : [];
    }
  }

  /** Asks the node for a flush or a refresh. Rejects with the failure's number as `failure`. */
  async sync(kind: 'flush' | 'refresh'): Promise<void> {
    const ticket = ++this.#tickets;
    await this.post(BigInt(ticket), kind === 'flush' ? abi.flushCall! : abi.refreshCall!, 1);
    while (!this.#synced.has(ticket)) await this.#wake();
    const failure = this.#synced.get(ticket)!;
    this.#synced.delete(ticket);
    if (failure !== 0) throw Object.assign(new Error(`a ${kind} failed`), { failure });
  }

  /** A copy of the page. */
  async read(page: number): Promise<Buffer> {
    await this.acquire(page, 'read');
    return Buffer.from(this.bytes(page));
  }

  async write(page: number, bytes: Uint8Array, at = 0): Promise<void> {
    await this.acquire(page, 'write');
    this.bytes(page).set(bytes, at);
  }

  /** Adds 1 to the page's first word: the value from before. */
  async increment(page: number): Promise<number> {
    await this.acquire(page, 'write');
    const bytes = Buffer.from(this.#memory.buffer, this.bytes(page).byteOffset, 4);
    const value = bytes.readUInt32LE();
    bytes.writeUInt32LE(value + 1);
    return value;
  }

  /** The frame of a page that is mapped here. */
  bytes(page: number): Uint8Array {
    const { frame } = this.#pages.get(page)!;
    const offset = this.#memory.byteOffset + this.#framesOffset + frame * this.#pageBytes;
    return new Uint8Array(this.#memory.buffer, offset, this.#pageBytes);
  }

  /** Resolves when the node rang, or had something already. */
  #wake(): Promise<void> {
    const woken = new Promise<void>((resolve) => this.#woken.push(resolve));
    Atomics.store(this.#own, word('memberArmed'), 1);
    // Looked at after that, so that nothing is slept through; and on another turn, so that others get theirs.
    if (this.#behind()) setImmediate(() => this.step());
    return woken;
  }

  #behind(): boolean {
    return !this.idle && Atomics.load(this.#own, word('orderHead')) !== this.#done;
  }

  #ringing(): void {
    binding.eventfdDrain(this.eventfd);
    this.step();
    Atomics.store(this.#own, word('memberArmed'), 1);
    if (this.#behind()) setImmediate(() => this.step());
  }

  /** Does the orders that are there. */
  step(): void {
    const head = Atomics.load(this.#own, word('orderHead'));
    if (!this.idle && head !== this.#done) {
      while (this.#done !== head) this.#do();
      Atomics.store(this.#own, word('ackTail'), this.#done);
      this.mark();
    }
    for (const resolve of this.#woken.splice(0)) resolve();
  }

  #do(): void {
    const place =
      this.#own.byteOffset + abi.orderRing! + ((this.#done >>> 0) % abi.orderEntries!) * abi.entryBytes!;
    const entry = new DataView(this.#own.buffer, place, abi.entryBytes!);
    const first = Number(entry.getBigUint64(abi.entryPage!, true));
    const frame = entry.getUint32(abi.orderFrame!, true);
    const op = entry.getUint8(abi.orderOp!);
    const right = entry.getUint8(abi.orderRight!);
    const count = entry.getUint16(abi.orderCount!, true);
    if (op === abi.opSynced) {
      this.#synced.set(first, right);
      this.#done = (this.#done + 1) | 0;
      return;
    }
    for (let i = 0; i < count; i++) {
      const page = first + i;
      const mapped = this.#pages.get(page);
      if (op === abi.opMap) {
        this.#pages.set(page, { frame: frame + i, right });
      } else if (op === abi.opFail) {
        this.#failed.set(page, right);
      } else if (right === 0) {
        this.#pages.delete(page);
      } else if (mapped !== undefined) {
        mapped.right = Math.min(mapped.right, right);
      }
      if (op !== abi.opRestrict) for (const answered of this.#asking) answered(page);
    }
    this.#done = (this.#done + 1) | 0;
    this.orders++;
  }
}
