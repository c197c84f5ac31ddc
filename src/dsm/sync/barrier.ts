import { setImmediate } from 'node:timers/promises';
import { IvshmemError } from '../../errors/index.ts';
import { Blocking, type BlockOptions, type WaitOptions } from './blocking.ts';
import { type Kind, OBJECT_W } from './layout.ts';
import type { Surroundings } from './object.ts';
import { SlotSet } from './slot-set.ts';

export const MOST_PARTIES = 0x7fff;
const COUNT = 0x7fff;
const BROKEN = 0x8000;
/** Looks of a party at whether the others have come before it sleeps: about ten microseconds, a part of what a wake-up takes. */
const LOOKS = 1500;
/** When they did not come while it looked, it does not look the next 1, 2, 4... times, at most so often. */
const MOST_SKIPS = 64;
/** Parties that never sleep give the event loop a turn after so many milliseconds. */
const TURN_MS = 2;
const phaseOf = (word: number): number => word >>> 16;
const nextPhase = (word: number): number => (phaseOf(word) + 1) << 16;

/**
 * A place that nobody passes until all parties have arrived; then it begins anew. Each member that opened it takes part:
 * when one dies, or closes the space while others wait, the barrier is broken and says so to everybody, at once and until it is reset.
 * The state is phase << 16 | BROKEN | how many have arrived.
 */
export class Barrier extends Blocking {
  override readonly kind: Kind = 'barrier';
  protected override readonly ordered = false;
  readonly parties: number;
  readonly #members = new SlotSet(this.words, this.at + OBJECT_W.members);
  /** Phase + 1 of the last that was broken and reset: those who still wait in it did not pass. */
  readonly #reset = this.at + OBJECT_W.second;
  #skips = 0;
  #penalty = 0;
  #turned = performance.now();

  constructor(around: Surroundings, number: number, name: string) {
    super(around, number, name);
    this.parties = Atomics.load(this.words, this.at + OBJECT_W.parameter);
    const word = Atomics.load(this.words, this.state);
    this.#members.add(this.lives.slot);
    // All who were here before are gone: what they left concerns nobody. Whoever comes at the same time changed the word by now.
    if (this.#members.find((slot) => slot !== this.lives.slot && this.here(slot)) < 0) this.#begin(word);
  }

  get broken(): boolean {
    this.requireOpen();
    return (Atomics.load(this.words, this.state) & BROKEN) !== 0;
  }

  /**
   * Arrives, and waits for the others. True when all have arrived; false after the timeout: then this one has not arrived, as after an
   * abort. Errors: ERR_IVSHMEM_BARRIER_BROKEN.
   */
  async arrive(options?: WaitOptions): Promise<boolean> {
    options?.signal?.throwIfAborted();
    this.requireOpen();
    const { exchange } = this.around;
    if (exchange.needed) {
      await exchange.release();
      options?.signal?.throwIfAborted();
      this.requireOpen();
    }
    // Without a turn of the microtasks if there is nothing to wait for.
    const phase = this.resident ? this.#arrive() : await this.present(() => this.#arrive());
    if (phase === null || this.#passesSoon(phase)) {
      if (exchange.needed) await exchange.acquire();
      if (performance.now() - this.#turned < TURN_MS) return true;
      await setImmediate();
      this.#turned = performance.now();
      return true;
    }
    // While its memory was fetched: it has arrived, and block() would not take that back.
    if (options?.signal?.aborted && this.#withdraw(phase) === undefined) throw options.signal.reason;
    const end = await this.block(() => this.#outcome(phase), options, {
      withdraw: () => this.#withdraw(phase),
    });
    if (end === 'broken') throw this.#brokenError();
    return end === 'passed';
  }

  /** arrive(), for a thread that attached the space: blocks it. Errors as well: ERR_IVSHMEM_SYNC_BLOCKS. */
  arriveSync(options?: BlockOptions): boolean {
    this.requireBlocking();
    const phase = this.#arrive();
    if (phase === null || this.#passesSoon(phase)) return true;
    const end = this.blockSync(
      () => this.#outcome(phase),
      options,
      () => this.#withdraw(phase),
    );
    if (end === 'broken') throw this.#brokenError();
    return end === 'passed';
  }

  /** The phase that it has to wait for; null: it was the last to come. */
  #arrive(): number | null {
    const { words, state } = this;
    this.#members.add(this.lives.slot);
    let word: number;
    let next: number;
    do {
      word = Atomics.load(words, state);
      if ((word & BROKEN) !== 0) throw this.#brokenError();
      next = (word & COUNT) + 1 < this.parties ? word + 1 : nextPhase(word);
    } while (Atomics.compareExchange(words, state, word, next) !== word);
    this.requireIntact();
    if (phaseOf(next) === phaseOf(word)) return phaseOf(word);
    this.wakeAll();
    return null;
  }

  /** Parties that come at nearly the same time, on processors of their own, ring nobody and do not sleep. */
  #passesSoon(phase: number): boolean {
    const { words, state } = this;
    if (!this.around.stays) return false;
    if (this.#skips > 0) {
      this.#skips--;
      return false;
    }
    for (let looks = 0; looks < LOOKS; looks++) {
      if (phaseOf(Atomics.load(words, state)) === phase) continue;
      this.#penalty = 0;
      // Zeros, because the device is gone, are not a pass; and of a reset it is block() that tells.
      return this.#outcome(phase) === 'passed' && this.lives.present;
    }
    this.#penalty = Math.min(2 * this.#penalty + 1, MOST_SKIPS);
    this.#skips = this.#penalty;
    return false;
  }

  /** Makes a broken barrier usable again; of no effect on one that is not broken. */
  reset(): void {
    this.requireOpen();
    const word = Atomics.load(this.words, this.state);
    if ((word & BROKEN) !== 0) this.#begin(word);
  }

  /** Those who wait learn that this party goes. */
  leave(): void {
    this.#members.delete(this.lives.slot);
    if ((Atomics.load(this.words, this.state) & COUNT) !== 0) this.#break();
  }

  /** Marks the barrier at `at` broken, because a party in it died before anybody noticed. */
  static lose(words: Int32Array, at: number): void {
    Atomics.or(words, at + OBJECT_W.state, BROKEN);
  }

  #begin(word: number): void {
    const { words, state } = this;
    if ((word & (BROKEN | COUNT)) === 0) return;
    const mark = phaseOf(word) + 1;
    const before = Atomics.load(words, this.#reset);
    if (Atomics.load(words, state) !== word) return;
    Atomics.compareExchange(words, this.#reset, before, mark);
    for (let n = 0; n < 256; n++) if (this.#members.take(255, (slot) => !this.here(slot)) < 0) break;
    if (Atomics.compareExchange(words, state, word, nextPhase(word)) === word) this.wakeAll();
  }

  #break(): void {
    Atomics.or(this.words, this.state, BROKEN);
    this.wakeAll();
  }

  #outcome(phase: number): 'passed' | 'broken' | undefined {
    const word = Atomics.load(this.words, this.state);
    if (phaseOf(word) !== phase)
      return Atomics.load(this.words, this.#reset) === phase + 1 ? 'broken' : 'passed';
    if ((word & BROKEN) !== 0) return 'broken';
    if (this.#members.find((slot) => !this.here(slot)) < 0) return undefined;
    // Unless the last one has arrived meanwhile, a dead party is one that will not come.
    if (Atomics.compareExchange(this.words, this.state, word, word | BROKEN) !== word)
      return this.#outcome(phase);
    this.wakeAll();
    return 'broken';
  }

  #withdraw(phase: number): 'passed' | 'broken' | undefined {
    for (;;) {
      const word = Atomics.load(this.words, this.state);
      const outcome = this.#outcome(phase);
      if (outcome !== undefined) return outcome;
      if (Atomics.compareExchange(this.words, this.state, word, word - 1) === word) return undefined;
    }
  }

  #brokenError(): IvshmemError {
    return new IvshmemError('ERR_IVSHMEM_BARRIER_BROKEN', { name: this.name });
  }

  protected override mark(): boolean {
    return !this.ready();
  }

  protected override passOn(): void {}
}
