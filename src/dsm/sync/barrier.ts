import { IvshmemError } from '../../errors/index.ts';
import { Blocking, type WaitOptions } from './blocking.ts';
import { type Kind, OBJECT_W } from './layout.ts';
import type { Surroundings } from './object.ts';
import { SlotSet } from './slot-set.ts';

export const MOST_PARTIES = 0x7fff;
const COUNT = 0x7fff;
const BROKEN = 0x8000;
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
    const { words, state } = this;
    this.#members.add(this.lives.slot);
    let word: number;
    let next: number;
    do {
      word = Atomics.load(words, state);
      if ((word & BROKEN) !== 0) throw this.#brokenError();
      next = (word & COUNT) + 1 < this.parties ? word + 1 : nextPhase(word);
    } while (Atomics.compareExchange(words, state, word, next) !== word);
    if (phaseOf(next) !== phaseOf(word)) {
      this.wakeAll();
      return true;
    }
    const phase = phaseOf(word);
    const end = await this.block(
      () => this.#outcome(phase),
      options,
      () => this.#withdraw(phase),
    );
    if (end === 'broken') throw this.#brokenError();
    return end === 'passed';
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
