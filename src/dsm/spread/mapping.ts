import { randomInt } from 'node:crypto';
import { IvshmemError, isIvshmemError } from '../../errors/index.ts';
import type { Attachment, RegionDevice } from '../../membership/index.ts';
import { SERVER_SLOT } from '../../memory/layout.ts';
import { binding, type SpreadCounts, type SpreadMemory } from '../../native/binding.ts';
import { SPREAD } from './layout.ts';
import { countPages, pagesOf } from './page-size.ts';
import { type Pin, Pins } from './pins.ts';
import type { Calls } from './seats.ts';

/** Others wait so long for a page that was acquired here. */
const PIN_MS = 1000;
/** A page that does not come for so long will not: longer than a host's lease, and than a server takes to restart. */
const PATIENCE_MS = 30_000;
const RIGHTS = { 'dont-need': 0, 'will-read': 1, 'will-write': 2 } as const;

/** Where the allocation of a spread space lies, and who is its node. */
export interface SpreadPlace {
  /** Bytes from the start of the region, on a page, and how many. */
  readonly at: number;
  readonly bytes: number;
  /** Of the whole space, bytes. */
  readonly size: number;
  /** Who is rung for faults; the server if it is left out. */
  readonly node?: { readonly slot: number; readonly vector: number };
  readonly pinMs?: number;
  readonly patienceMs?: number;
  /** A page that fails takes all of it away (`onEnded`), instead of ending the process that touches it. */
  readonly whole?: boolean;
}

/** Eventfds of the vector for orders, which a device gives away once. */
const bells = new WeakMap<RegionDevice, number>();

/** A spread space as addresses of this process. */
export class SpreadMapping implements Calls {
  readonly party: number;
  readonly buffer: ArrayBuffer;
  readonly pageBytes: number;
  readonly #attachment: Attachment;
  readonly #memory: SpreadMemory;
  readonly #pins: Pins;
  readonly #size: number;
  readonly #frames: number;
  readonly #copies: Int32Array;
  readonly #uncount: () => void;
  #forget: () => void = () => {};
  #closed = false;

  /** Resolves when the node knows of it. Rejects with what openSpace does. */
  static async open(attachment: Attachment, operation: string, place: SpreadPlace): Promise<SpreadMapping> {
    const mapping = new SpreadMapping(attachment, operation, place);
    try {
      await mapping.#waiting(mapping.#pins.opened(operation));
      return mapping;
    } catch (error) {
      mapping.close();
      throw error;
    }
  }

  private constructor(attachment: Attachment, operation: string, place: SpreadPlace) {
    const { device, slot, header } = attachment;
    const { on } = device;
    const { at, bytes, size } = place;
    if (header.vectors < 2)
      throw new IvshmemError('ERR_IVSHMEM_SPREAD_VECTORS', { operation, on, vectors: header.vectors });
    this.#attachment = attachment;
    this.#size = size;
    const control = new DataView(device.memory, at);
    const shift = control.getUint32(SPREAD.pageShift, true) & 63;
    this.#copies = new Int32Array(device.memory, at + SPREAD.copies, 1);
    const generation = randomInt(1, 2 ** 32);
    const host = control.getUint32(SPREAD.node, true) & 63;
    this.party = (host * 256 + slot) * 2 ** 32 + generation;
    this.#uncount = countPages(operation, size, shift);
    const node = place.node ?? { slot: SERVER_SLOT, vector: SPREAD.nodeVector };
    let memory: SpreadMemory | undefined;
    try {
      if (device.mapWith === undefined) throw new Error('this device cannot map a part of its memory');
      const doorbell = device.doorbell?.(node.slot, node.vector) ?? null;
      this.#forget = device.mapWith((file) => {
        memory = new binding.SpreadMemory(
          {
            memory: device.memory,
            at,
            bytes,
            size,
            slot,
            generation,
            file: file.fd,
            fileOffset: file.offset,
            bell: bellOf(device, header.vectors),
            doorbell,
            pinMs: place.pinMs ?? PIN_MS,
            patienceMs: place.patienceMs ?? PATIENCE_MS,
            whole: place.whole ?? false,
          },
          (ticket, outcome, page) => this.#pins.event(ticket, outcome, page),
        );
        // UIO does not ask before an unplug: until it is heard of, who looks finds zeros.
        if (device.kind === 'uio') memory.mapping.guard();
        return { revoke: () => this.#revoke(), close: () => this.close() };
      });
    } catch (cause) {
      this.#uncount();
      memory?.close();
      memory?.mapping.close();
      if (isIvshmemError(cause)) throw cause;
      const why = (cause as Error).message;
      throw new IvshmemError('ERR_IVSHMEM_SPACE_MAP', { operation, on, why }, { cause });
    }
    this.#memory = memory!;
    this.#pins = new Pins(memory!, on);
    this.buffer = memory!.mapping.buffer;
    const { pageBytes, frames } = memory!.shape!;
    this.pageBytes = pageBytes;
    this.#frames = frames;
  }

  /** Hosts that have a page, of that which the fewest have; 0 once the region was left. */
  get copies(): number {
    return this.#copies.length === 0 ? 0 : Atomics.load(this.#copies, 0);
  }

  acquire(operation: string, offset: number, length: number, access: 'read' | 'write'): Promise<Pin> {
    return this.#waiting(
      (async () => {
        const { first, count } = this.#pages(operation, offset, length);
        if (access !== 'read' && access !== 'write')
          this.#refuse(operation, `the access is ${JSON.stringify(access)}`);
        if (count > this.#frames)
          this.#refuse(
            operation,
            `${count} pages do not fit into the ${this.#frames} that this host has for it`,
          );
        return this.#pins.acquire(operation, first, count, access === 'write');
      })(),
    );
  }

  hint(operation: string, offset: number, length: number, advice: keyof typeof RIGHTS): void {
    const { first, count } = this.#pages(operation, offset, length);
    if (!Object.hasOwn(RIGHTS, advice)) this.#refuse(operation, `the advice is ${JSON.stringify(advice)}`);
    this.#memory.hint(first, count, RIGHTS[advice]);
  }

  /** Empties the processor's own buffer of stores. */
  fence(operation: string): void {
    this.#check(operation);
    // Sequentially consistent: a full fence on every processor there is.
    Atomics.add(fence, 0, 1);
  }

  /** What members of this host stored before is at the pages' homes. */
  async flush(operation: string): Promise<void> {
    this.fence(operation);
    await this.#waiting(this.#pins.done(operation, (ticket) => this.#memory.flush(ticket)));
  }

  /** flush(), and no copy that was made before is loaded from any more. */
  async refresh(operation: string): Promise<void> {
    this.fence(operation);
    await this.#waiting(this.#pins.done(operation, (ticket) => this.#memory.refresh(ticket)));
  }

  /** flush(), blocking this thread. */
  flushNow(operation: string): void {
    this.fence(operation);
    this.#pins.check(operation, this.#memory.flushSync());
  }

  /** refresh(), blocking this thread. */
  refreshNow(operation: string): void {
    this.fence(operation);
    this.#pins.check(operation, this.#memory.refreshSync());
  }

  /** Neither closed nor revoked. */
  get usable(): boolean {
    return !this.#closed && this.#memory.shape !== null;
  }

  /** Whether an access to these bytes would not wait, at this moment. */
  has(offset: number, length: number, access: 'read' | 'write'): boolean {
    const { first, count } = this.#pages('look', offset, length);
    return this.#memory.has(first, count, access === 'write');
  }

  /** Of no effect once closed. */
  call(party: number, ask: boolean): void {
    this.#memory.call(party, ask);
  }

  onCalled(callback: (gone: number) => void): () => void {
    this.#pins.onCalled = callback;
    return () => {
      this.#pins.onCalled = () => {};
    };
  }

  /** Calls back when the memory has ended by itself, and shows zeros. Returns how to stop. */
  onEnded(callback: (error: IvshmemError) => void): () => void {
    this.#pins.onEnded = callback;
    return () => {
      this.#pins.onEnded = () => {};
    };
  }

  /** Why it has ended by itself, also before `onEnded` hears of it; null: it has not. */
  get ended(): IvshmemError | null {
    return this.#pins.ended;
  }

  /** Calls back when the space was removed: its memory is not touched from here any more. */
  onRemoved(callback: () => void): void {
    this.#pins.onRemoved = callback;
  }

  counts(): SpreadCounts {
    return this.#memory.counts();
  }

  /** Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#revoke();
    this.#closed = true;
    this.#forget();
    this.#memory.mapping.close();
  }

  /** The range shows zeros from now on. */
  #revoke(): void {
    this.#memory.close();
    this.#pins.close();
    this.#uncount();
  }

  async #waiting<T>(promise: Promise<T>): Promise<T> {
    this.#attachment.wait(1);
    try {
      return await promise;
    } finally {
      this.#attachment.wait(-1);
    }
  }

  #pages(operation: string, offset: number, length: number): { first: number; count: number } {
    this.#check(operation);
    const inside = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 1;
    if (!inside || offset + length > this.#size)
      this.#refuse(operation, `${length} bytes at ${offset} are not in its ${this.#size}`);
    const shift = Math.log2(this.pageBytes);
    const first = Math.floor(offset / this.pageBytes);
    return { first, count: pagesOf(offset + length, shift) - first };
  }

  #refuse(operation: string, why: string): never {
    throw new IvshmemError('ERR_IVSHMEM_SPREAD_RANGE', { operation, why });
  }

  #check(operation: string): void {
    if (this.usable) return;
    throw new IvshmemError('ERR_IVSHMEM_CLOSED', { operation, on: this.#attachment.device.on });
  }
}

const fence = new Int32Array(new SharedArrayBuffer(4));

/** The eventfd of the last vector, where nodes ring; -1 on a device without interrupts. */
function bellOf(device: RegionDevice, vectors: number): number {
  if (device.vectors < vectors) return -1;
  let bell = bells.get(device);
  if (bell === undefined) {
    bell = device.takeVector(vectors - 1);
    bells.set(device, bell);
  }
  return bell;
}
