import type { Party, SpaceMemory } from '../../../src/dsm/party.ts';
import { Synchronization } from '../../../src/dsm/sync/synchronization.ts';
import type { Random } from '../../support/random.ts';

export const SYSTEM_BYTES = 64 << 10;

const worlds = new Set<World>();

export function endWorlds(): void {
  for (const world of worlds) world.end();
}

/** Thrown out of an access to memory at which a member dies. */
export class Died extends Error {}

const patched = ['load', 'store', 'compareExchange', 'exchange', 'add', 'and', 'or'] as const;

/**
 * Members of one space in one process. Every Atomics operation of a member can be its last, or can have something else
 * run just before it, as if another processor did: so every interleaving with one other operation can be tried.
 */
export class World {
  readonly system = new ArrayBuffer(SYSTEM_BYTES);
  readonly buffer: ArrayBuffer;
  readonly epochs = new Map<number, number>();
  readonly members = new Set<Member>();
  notifications = 0;
  readonly #mail: Member[] = [];

  constructor(userBytes = 0) {
    this.buffer = new ArrayBuffer(userBytes);
    worlds.add(this);
  }

  /** No timer of it keeps the process alive any more. */
  end(): void {
    for (const member of [...this.members]) this.kill(member);
    worlds.delete(this);
  }

  join(slot: number): Member {
    const epoch = (this.epochs.get(slot) ?? 0) + 1;
    this.epochs.set(slot, epoch);
    const member = new Member(this, slot, epoch);
    this.members.add(member);
    return member;
  }

  notify(slot: number): void {
    this.notifications++;
    for (const member of this.members) if (member.slot === slot) this.#mail.push(member);
  }

  /** It is gone, and everybody else hears of it. */
  kill(member: Member): void {
    if (!this.members.delete(member)) return;
    member.dead = true;
    member.drop();
    for (const one of this.members) this.#mail.push(one);
  }

  /** Delivers notifications, in any order, until there is none under way. */
  async settle(random?: Random): Promise<void> {
    for (let calm = 0; calm < 8; ) {
      await new Promise((resolve) => setImmediate(resolve));
      const at = random === undefined ? 0 : random.below(Math.max(1, this.#mail.length));
      const [member] = this.#mail.splice(at, 1);
      if (member === undefined) calm++;
      else {
        calm = 0;
        if (!member.dead) for (const callback of [...member.callbacks]) callback();
      }
    }
  }
}

export class Member implements Party {
  dead = false;
  readonly callbacks = new Set<() => void>();
  readonly memory: SpaceMemory;
  #sync: Synchronization | undefined;

  readonly world: World;
  readonly slot: number;
  readonly epoch: number;

  constructor(world: World, slot: number, epoch: number) {
    this.world = world;
    this.slot = slot;
    this.epoch = epoch;
    this.memory = { system: world.system, buffer: world.buffer, party: this };
  }

  /** Its view of the space; opened at the first use. No timer looks again: what is not woken stays asleep. */
  get sync(): Synchronization {
    if (this.#sync === undefined) {
      this.#sync = new Synchronization(this.memory, () => {}, 2 ** 31 - 1);
      owners.set(this.#sync.words, this);
    }
    return this.#sync;
  }

  /** Its process is gone, with its timers and promises. */
  drop(): void {
    try {
      this.#sync?.close();
    } catch (error) {
      if (!(error instanceof Died)) throw error;
    }
  }

  alive(slot: number, epoch: number): boolean {
    for (const member of this.world.members)
      if (member.slot === slot && member.epoch === epoch) return !member.dead;
    return false;
  }

  notify(slot: number): void {
    if (!this.dead) this.world.notify(slot);
  }

  onWake(callback: () => void): () => void {
    this.callbacks.add(callback);
    return () => this.callbacks.delete(callback);
  }
}

const owners = new WeakMap<object, Member>();
/** Whose accesses to the user part these are: it is used through views that are not known here. */
let acting: Member | undefined;
let hook: ((member: Member) => void) | undefined;

for (const name of patched) {
  const original = Atomics[name] as (words: Int32Array, ...rest: number[]) => number;
  Object.defineProperty(Atomics, name, {
    configurable: true,
    value: (words: Int32Array, ...rest: number[]): number => {
      const member = owners.get(words) ?? (words.buffer === acting?.world.buffer ? acting : undefined);
      if (member?.dead) throw new Died();
      if (member !== undefined) hook?.(member);
      return original(words, ...rest);
    },
  });
}

/**
 * Runs `operation` of `member`, and `meanwhile` just before its access number `step` (from 0) to shared memory. False when it made
 * fewer accesses.
 */
export function interleave(
  member: Member,
  step: number,
  operation: () => void,
  meanwhile: () => void,
): boolean {
  let count = 0;
  let reached = false;
  acting = member;
  hook = (who) => {
    if (who !== member || count++ !== step) return;
    hook = undefined;
    reached = true;
    meanwhile();
    if (member.dead) throw new Died();
  };
  try {
    operation();
  } catch (error) {
    if (!(error instanceof Died)) throw error;
  } finally {
    acting = undefined;
    hook = undefined;
  }
  return reached;
}

/** Whether a promise has settled, without waiting for it. */
export function watch<T>(promise: Promise<T>): { done: boolean; value?: T; error?: unknown } {
  const state: { done: boolean; value?: T; error?: unknown } = { done: false };
  promise.then(
    (value) => Object.assign(state, { done: true, value }),
    (error: unknown) => Object.assign(state, { done: true, error }),
  );
  return state;
}
