import { IvshmemError } from '../../errors/index.ts';
import type { Party, SpaceMemory } from '../party.ts';
import { Barrier, MOST_PARTIES } from './barrier.ts';
import { Condition } from './condition.ts';
import { Counter } from './counter.ts';
import { type Kind, OBJECT_W, OBJECT_WORDS, OBJECTS, OBJECTS_W, SYNC_BYTES } from './layout.ts';
import { Lives } from './lives.ts';
import { Mutex } from './mutex.ts';
import type { Surroundings, SyncObject } from './object.ts';
import { ObjectTable } from './object-table.ts';
import { Once } from './once.ts';
import { RwLock } from './rwlock.ts';
import { MOST_PERMITS, Semaphore } from './semaphore.ts';
import { SlotSet } from './slot-set.ts';

type Make<T> = new (around: Surroundings, number: number, name: string) => T;

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
  readonly #table: ObjectTable;
  readonly #objects = new Map<string, SyncObject>();
  readonly #waiting = new Set<SyncObject>();
  readonly #stop: () => void;
  readonly #lookAgainMs: number;
  readonly #waits: (change: 1 | -1) => void;
  #timer: NodeJS.Timeout | undefined;
  #open = true;

  /** `waits` hears when somebody begins to wait in this process, and when nobody does any more. */
  constructor(
    memory: SpaceMemory,
    waits: (change: 1 | -1) => void = () => {},
    lookAgainMs: number = LOOK_AGAIN_MS,
  ) {
    this.#waits = waits;
    this.words = new Int32Array(memory.system, 0, SYNC_BYTES / 4);
    this.party = memory.party;
    this.lives = new Lives(this.words, memory);
    this.#table = new ObjectTable(this.words, this.lives);
    this.#lookAgainMs = lookAgainMs;
    this.lives.begin(() => this.#sweep());
    this.#stop = memory.party.onWake(() => this.#look());
  }

  get open(): boolean {
    return this.#open;
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

  /** What this member holds counts as left by a dead one; who waits for it is told. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#stop();
    for (const object of [...this.#waiting]) object.abandon(object.closed());
    // Once the memory is gone there is nobody left to tell.
    if (this.words.length === 0) return;
    for (const object of this.#objects.values()) if (object instanceof Barrier) object.leave();
    this.lives.end();
    for (const object of this.#objects.values()) object.farewell();
  }

  waits(object: SyncObject, waiting: boolean): void {
    if (!waiting) this.#waiting.delete(object);
    else if (this.#open) this.#waiting.add(object);
    if (this.#waiting.size > 0 === (this.#timer !== undefined)) return;
    if (this.#timer === undefined) this.#timer = setInterval(() => this.#look(), this.#lookAgainMs);
    else {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    this.#waits(this.#timer === undefined ? -1 : 1);
  }

  #look(): void {
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
    this.#objects.set(name, object);
    return object;
  }

  #requireOpen(kind: Kind, name: string): void {
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
      new SlotSet(this.words, at + OBJECT_W.waiters).delete(this.party.slot);
      const members = new SlotSet(this.words, at + OBJECT_W.members);
      if (!members.has(this.party.slot)) continue;
      // Broken first: who waits there sees the dead party or this, and looked again when it died.
      if (kind === 'barrier') Barrier.lose(this.words, at);
      members.delete(this.party.slot);
    }
  }
}
