import { IvshmemError } from '../../errors/index.ts';
import type { Party, SpaceMemory } from '../party.ts';
import { Barrier, MOST_PARTIES } from './barrier.ts';
import { Condition } from './condition.ts';
import { Counter } from './counter.ts';
import { type Exchange, GuardedExchange, NO_EXCHANGE } from './exchange.ts';
import { type Kind, OBJECT_W, OBJECT_WORDS, OBJECTS, OBJECTS_W, SYNC_BYTES } from './layout.ts';
import { Lives } from './lives.ts';
import { Mutex } from './mutex.ts';
import type { Surroundings, SyncObject } from './object.ts';
import { ObjectTable } from './object-table.ts';
import { Once } from './once.ts';
import { MOST_OWNED, Permits } from './permits.ts';
import { RwLock } from './rwlock.ts';
import { MOST_PERMITS, Semaphore } from './semaphore.ts';
import { SlotSet } from './slot-set.ts';

type Make<T> = new (around: Surroundings, number: number, name: string) => T;

/** Memory whose pages move between hosts. */
export interface Moving {
  /**
   * It may turn into zeros that nobody else sees, at any time and all at once: this is the error of whoever uses it from then on.
   */
  gone(cause?: Error): Error;
  /** Whether what an object at that offset needs is here, at this moment. */
  resident(offset: number): boolean;
  /** The same of looking at it without a change. */
  readable(offset: number): boolean;
  /** Has it here until that is disposed of. */
  fetch(offset: number): Promise<Disposable>;
  /** Of the space that it synchronizes; without one every store is seen as it is made. */
  readonly exchange?: Exchange;
}

/** Of a space that several threads of this process use, each by itself. */
export interface Threads {
  /** Wakes the thread of this process that has that seat, or the one that opened the space by its slot. */
  wake(seat: number): void;
  /** Blocks this thread until it may be time to look, at most so long; null: it must not be blocked. */
  readonly sleep: ((ms: number) => void) | null;
}

/**
 * How often those who wait look again without being woken, milliseconds: a doorbell can be lost with the device that
 * carried it. The timer also keeps the process alive while somebody waits, and only then.
 */
const LOOK_AGAIN_MS = 500;

/** The named objects of one space in one process. */
export class Synchronization implements Surroundings {
  readonly words: Int32Array;
  readonly lives: Lives;
  readonly party: Party;
  readonly exchange: Exchange;
  readonly #table: ObjectTable;
  readonly #objects = new Map<string, SyncObject>();
  readonly #waiting = new Set<SyncObject>();
  readonly #stop: () => void;
  readonly #lookAgainMs: number;
  readonly #waits: (change: 1 | -1) => void;
  readonly #moving: Moving | null;
  /** The slot of this process's member. */
  readonly #member: number;
  #threads: Threads | null = null;
  #later: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;
  #open = true;
  #failure: Error | null = null;

  /**
   * `waits` hears when somebody begins to wait in this process, and when nobody does any more. `moving`: of memory whose pages move.
   */
  constructor(
    memory: SpaceMemory,
    waits: (change: 1 | -1) => void = () => {},
    lookAgainMs: number = LOOK_AGAIN_MS,
    moving: Moving | null = null,
  ) {
    this.#moving = moving;
    const exchange = moving?.exchange;
    this.exchange = exchange ? new GuardedExchange(exchange, (cause) => this.#forfeit(cause)) : NO_EXCHANGE;
    this.#waits = waits;
    this.words = new Int32Array(memory.system, 0, SYNC_BYTES / 4);
    this.party = memory.party;
    this.lives = new Lives(this.words, memory);
    this.#table = new ObjectTable(this.words, this.lives);
    this.#lookAgainMs = lookAgainMs;
    this.lives.begin(() => this.#sweep());
    this.#member = this.lives.memberOf(this.party.slot);
    this.#stop = memory.party.onWake(() => this.look());
  }

  /** From now on there are several threads. */
  set threads(threads: Threads) {
    this.#threads = threads;
  }

  notify(slot: number): void {
    const member = this.lives.memberOf(slot);
    if (member === this.#member && this.#threads !== null) this.#threads.wake(slot);
    else this.party.notify(member, member !== slot);
  }

  requireBlocking(kind: Kind, name: string): void {
    if (!this.#threads?.sleep) throw new IvshmemError('ERR_IVSHMEM_SYNC_BLOCKS', { kind, name });
  }

  sleep(ms: number): void {
    this.#threads!.sleep!(ms);
    this.#checkOpener();
    // Whoever waits here with a promise may have been meant: it looks when this thread is no longer blocked.
    if (this.#waiting.size > 1) this.#later ??= setImmediate(() => this.#lookLater());
  }

  /** All who wait for anything, wherever they are, look again: threads of this process have ended, with what they had. */
  lookEverywhere(): void {
    for (let number = 0; number < OBJECTS; number++) {
      if (this.#table.kindOf(number) === 'none') continue;
      const waiters = new SlotSet(this.words, OBJECTS_W + number * OBJECT_WORDS + OBJECT_W.waiters);
      const slots = new Set<number>();
      for (let n = 0; n < 256; n++) {
        const slot = waiters.take(
          this.party.slot,
          (slot) => !slots.has(slot) && this.lives.tokenOf(slot) !== 0,
        );
        if (slot < 0) break;
        slots.add(slot);
      }
      for (const slot of slots) if (slot !== this.party.slot) this.notify(slot);
    }
    this.look();
  }

  get open(): boolean {
    return this.#open;
  }

  get stays(): boolean {
    return this.#moving === null || this.#threads !== null;
  }

  resident(object: number): boolean {
    return this.#moving === null || this.#moving.resident(object * 4);
  }

  readable(object: number): boolean {
    return this.#moving === null || this.#moving.readable(object * 4);
  }

  async fetch(object: number): Promise<Disposable> {
    return this.#moving?.fetch(object * 4) ?? { [Symbol.dispose]: () => {} };
  }

  get failure(): Error | null {
    return this.#failure;
  }

  /**
   * Whether what was done so far was done to memory that others see. To be asked after it was done: what marks this member as present lies
   * before the objects, and goes first.
   */
  get intact(): boolean {
    if (this.#moving === null || (this.#open && this.lives.present)) return true;
    if (this.#open) this.fail();
    return this.#failure === null;
  }

  /** The memory is gone: nothing is held or waited for any more, and every use says why. */
  fail(cause?: Error): void {
    if (this.#failure !== null || this.#moving === null || !this.#open) return;
    this.#failure = this.#moving.gone(cause);
    this.close();
  }

  mutex(name: string): Mutex {
    return this.#get('mutex', Mutex, name);
  }

  rwlock(name: string): RwLock {
    return this.#get('rwlock', RwLock, name);
  }

  /** `initial`: permits when it is made; of no meaning when there is one already. */
  semaphore(name: string, { initial = 0 }: { readonly initial?: number } = {}): Semaphore {
    this.#range('semaphore', name, 'initial', initial, 0, MOST_PERMITS);
    return this.#get('semaphore', Semaphore, name, 0, initial << 1);
  }

  /** `count`: how many there are; the same in all programs. */
  permits(name: string, { count }: { readonly count: number }): Permits {
    this.#range('permits', name, 'count', count, 1, MOST_OWNED);
    const permits = this.#get('permits', Permits, name, count);
    this.#range('permits', name, 'count', count, permits.count, permits.count);
    return permits;
  }

  condition(name: string): Condition {
    return this.#get('condition', Condition, name);
  }

  /** `parties`: how many have to arrive; the same in all programs. */
  barrier(name: string, { parties }: { readonly parties: number }): Barrier {
    this.#range('barrier', name, 'parties', parties, 1, MOST_PARTIES);
    const barrier = this.#get('barrier', Barrier, name, parties);
    this.#range('barrier', name, 'parties', parties, barrier.parties, barrier.parties);
    return barrier;
  }

  counter(name: string): Counter {
    return this.#get('counter', Counter, name);
  }

  once(name: string): Once {
    return this.#get('once', Once, name);
  }

  /** For the heap: where an object of its own has its state, as an index into `words`. */
  word(kind: 'heap', name: string): number {
    this.#requireOpen(kind, name);
    return OBJECTS_W + this.#table.open(kind, name, 0, 0).number * OBJECT_WORDS + OBJECT_W.state;
  }

  /**
   * What this member holds counts as left by a dead one; who waits for it is told. With `unseen`, because what was stored may not be there
   * for the others yet, nobody is told: they find out by themselves, and later. Idempotent.
   */
  close({ unseen = false }: { readonly unseen?: boolean } = {}): void {
    if (!this.#open) return;
    this.#open = false;
    this.#stop();
    for (const object of [...this.#waiting]) object.abandon(object.closed());
    if (this.#failure === null && !unseen) this.#leave();
  }

  /** What was stored does not get to the others, or what they stored not here: to them this member is as one that died. */
  #forfeit(cause: Error): void {
    if (!this.#open) return;
    this.#failure = this.#moving!.gone(cause);
    this.close();
    this.#leave();
  }

  #leave(): void {
    // Once the memory is gone there is nobody left to tell.
    if (this.words.length === 0) return;
    for (const object of this.#objects.values()) if (object instanceof Barrier) object.leave();
    this.lives.end();
    for (const object of this.#objects.values()) object.farewell();
    if (this.#threads !== null) this.lookEverywhere();
  }

  waits(object: SyncObject, waiting: boolean): void {
    if (!waiting) this.#waiting.delete(object);
    else if (this.#open) this.#waiting.add(object);
    if (this.#waiting.size > 0 === (this.#timer !== undefined)) return;
    if (this.#timer === undefined) this.#timer = setInterval(() => this.look(), this.#lookAgainMs);
    else {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    this.#waits(this.#timer === undefined ? -1 : 1);
  }

  /** The thread that opened the space may have closed it: zeros that nobody waits for, or wakes. */
  #checkOpener(): void {
    void this.intact;
  }

  #lookLater(): void {
    this.#later = undefined;
    this.look();
  }

  /** All who wait in this thread look again. */
  look(): void {
    if (this.#threads !== null) this.#checkOpener();
    for (const object of [...this.#waiting]) if (this.#open) object.service();
  }

  #get<T extends SyncObject>(kind: Kind, make: Make<T>, name: string, parameter = 0, state = 0): T {
    this.#requireOpen(kind, name);
    const known = this.#objects.get(name);
    if (known !== undefined) {
      if (known.kind === kind) return known as T;
      throw new IvshmemError('ERR_IVSHMEM_SYNC_KIND', { kind, name, found: known.kind });
    }
    const object = new make(this, this.#table.open(kind, name, parameter, state).number, name);
    if (!this.intact) throw object.closed();
    this.#objects.set(name, object);
    return object;
  }

  #requireOpen(kind: Kind, name: string): void {
    if (this.#failure !== null) throw this.#failure;
    if (!this.#open || this.words.length === 0)
      throw new IvshmemError('ERR_IVSHMEM_SYNC_CLOSED', { kind, name });
  }

  #range(kind: Kind, name: string, parameter: string, found: number, least: number, most: number): void {
    if (Number.isInteger(found) && found >= least && found <= most) return;
    const wanted = least === most ? `${least}, as it was made` : `a whole number from ${least} to ${most}`;
    throw new IvshmemError('ERR_IVSHMEM_SYNC_PARAMETER', { kind, name, parameter, found, wanted });
  }

  /** Takes away what an earlier holder of this slot left: it does not wait, read or take part any more. */
  #sweep(): void {
    for (let number = 0; number < OBJECTS; number++) {
      const at = OBJECTS_W + number * OBJECT_WORDS;
      const kind = this.#table.kindOf(number);
      if (kind === 'none') continue;
      const waiters = new SlotSet(this.words, at + OBJECT_W.waiters);
      // A store takes the page from all other hosts.
      if (waiters.has(this.party.slot)) waiters.delete(this.party.slot);
      const members = new SlotSet(this.words, at + OBJECT_W.members);
      if (!members.has(this.party.slot)) continue;
      // Broken first: who waits there sees the dead party or this, and looked again when it died.
      if (kind === 'barrier') Barrier.lose(this.words, at);
      members.delete(this.party.slot);
    }
  }
}
