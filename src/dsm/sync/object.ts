import { IvshmemError } from '../../errors/index.ts';
import type { Exchange } from './exchange.ts';
import { type Kind, OBJECT_W, OBJECT_WORDS, OBJECTS_W } from './layout.ts';
import type { Lives } from './lives.ts';
import { SlotSet } from './slot-set.ts';

/** What the objects of one space share in this process. */
export interface Surroundings {
  readonly words: Int32Array;
  readonly lives: Lives;
  /** Wakes whoever has that slot, or seat. */
  notify(slot: number): void;
  /** Throws where a thread must not be blocked. */
  requireBlocking(kind: Kind, name: string): void;
  /** Blocks this thread until it is woken, or so many milliseconds. Only after requireBlocking(). */
  sleep(ms: number): void;
  /** False once the space was closed. */
  readonly open: boolean;
  /** False: what was done last was done to memory that nobody else sees, and `failure` says why. */
  readonly intact: boolean;
  readonly failure: Error | null;
  /** The memory stays where it is, so that looking at it again and again takes it away from nobody. */
  readonly stays: boolean;
  /** Of what the objects are for. */
  readonly exchange: Exchange;
  /** Whether the memory of an object (an index of words) is here, as on one host always. */
  resident(object: number): boolean;
  /** Whether a copy of it is here, to read. */
  readable(object: number): boolean;
  /** Has it here until that is disposed of. */
  fetch(object: number): Promise<Disposable>;
  /** An object has begun, or ceased, to have somebody waiting: only those are looked at when this member is woken. */
  waits(object: SyncObject, waiting: boolean): void;
}

/** One named object in the system part of a space, and who of all members waits for it. */
export abstract class SyncObject {
  abstract readonly kind: Kind;
  readonly name: string;
  protected readonly around: Surroundings;
  protected readonly words: Int32Array;
  protected readonly lives: Lives;
  /** Indices of words. */
  protected readonly at: number;
  protected readonly state: number;
  protected readonly waiters: SlotSet;

  constructor(around: Surroundings, number: number, name: string) {
    this.name = name;
    this.around = around;
    this.words = around.words;
    this.lives = around.lives;
    this.at = OBJECTS_W + number * OBJECT_WORDS;
    this.state = this.at + OBJECT_W.state;
    this.waiters = new SlotSet(this.words, this.at + OBJECT_W.waiters);
  }

  /** Looks again whether those who wait in this process can go on. */
  abstract service(): void;

  /** Ends every wait in this process. */
  abstract abandon(error: Error): void;

  /** Once this member's life in the space has ended: whoever waits for what it had looks again. */
  farewell(): void {
    this.wakeAll();
  }

  protected requireOpen(): void {
    if (!this.around.open) throw this.closed();
  }

  closed(cause?: unknown): Error {
    if (this.around.failure !== null) return this.around.failure;
    return new IvshmemError('ERR_IVSHMEM_SYNC_CLOSED', { kind: this.kind, name: this.name }, { cause });
  }

  /** Whether nothing has to be waited for but the object itself. */
  protected get immediate(): boolean {
    return this.resident && !this.around.exchange.needed;
  }

  /** Whether looking at the object would not make the event loop wait. */
  protected get resident(): boolean {
    return this.around.resident(this.at);
  }

  /** Does it where the memory is here; at once, if it is. */
  protected async present<T>(action: () => T): Promise<T> {
    if (this.resident) return action();
    const pin = await this.around.fetch(this.at).catch((error: unknown) => {
      throw this.around.open ? error : this.closed(error);
    });
    try {
      this.requireOpen();
      return action();
    } finally {
      pin[Symbol.dispose]();
    }
  }

  /** Lets go of something when what was stored before is there for whoever gets it; also when a part of that is lost, and then says so. */
  protected releasing<T>(letGo: () => T): T {
    let lost: unknown;
    try {
      this.around.exchange.releaseNow();
    } catch (error) {
      // To the others this member is dead: what it holds is left behind.
      if (!this.around.open) throw error;
      lost = error;
    }
    const result = letGo();
    if (lost !== undefined) throw lost;
    return result;
  }

  /** After something was had without a promise: what was stored before it was let go of is loaded from now on. */
  protected acquired(giveBack: () => void): void {
    try {
      this.around.exchange.acquireNow();
    } catch (error) {
      if (this.around.open) giveBack();
      throw error;
    }
  }

  /** After something was taken, or read. */
  protected requireIntact(): void {
    if (!this.around.intact) throw this.closed();
  }

  protected notHeld(): IvshmemError {
    return new IvshmemError('ERR_IVSHMEM_SYNC_NOT_HELD', { kind: this.kind, name: this.name });
  }

  protected lost(): Error {
    if (!this.around.intact) return this.closed();
    return new IvshmemError('ERR_IVSHMEM_SYNC_LOST', { kind: this.kind, name: this.name });
  }

  protected readonly here = (slot: number): boolean => this.lives.tokenOf(slot) !== 0;

  /** Wakes one member that waits, the next after this one's slot; its slot, or -1. The caller changed the state before. */
  protected wakeOne(): number {
    const slot = this.waiters.take(this.lives.slot, this.here);
    if (slot >= 0) this.wake(slot);
    return slot;
  }

  protected wakeAll(): void {
    // A member can come back into the set meanwhile: once for each slot is enough.
    for (let n = 0; n < 256 && this.wakeOne() >= 0; n++);
  }

  protected wake(slot: number): void {
    if (slot === this.lives.slot) queueMicrotask(() => this.around.open && this.service());
    else this.around.notify(slot);
  }
}
