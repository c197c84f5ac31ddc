import { Blocking, type BlockOptions, type WaitOptions } from './blocking.ts';
import { Held } from './held.ts';
import { type Kind, OBJECT_W } from './layout.ts';
import type { Surroundings } from './object.ts';

/** As many words as an object has to spare. */
export const MOST_OWNED = OBJECT_W.waiters - OBJECT_W.owners;

/**
 * So many at a time, and what a dead member had comes back: each permit is a word with its owner's token, 0 when it is free. Who gives one
 * back frees its word and then looks who waits; who waits is in the set before it looks at the words.
 */
export class Permits extends Blocking {
  override readonly kind: Kind = 'permits';
  /** Of all. */
  readonly count: number;
  readonly #owners = this.at + OBJECT_W.owners;
  /** Which of them tasks of this process have. */
  readonly #mine = new Set<number>();

  constructor(around: Surroundings, number: number, name: string) {
    super(around, number, name);
    // Whatever the memory says, there are no more words.
    this.count = Math.min(Atomics.load(this.words, this.at + OBJECT_W.parameter) >>> 0, MOST_OWNED);
  }

  /** How many could be had now. */
  get free(): number {
    this.requireOpen();
    let free = 0;
    for (let n = 0; n < this.count; n++) if (!this.#taken(this.#word(n))) free++;
    this.requireIntact();
    return free;
  }

  /** One, if it is to be had now. */
  tryAcquire(): Held | undefined {
    this.requireOpen();
    const held = this.#take();
    this.requireIntact();
    if (held !== undefined) this.acquired(() => held.release());
    return held;
  }

  /** Waits for one. With `timeout`: undefined when there was none in time. `abandoned`: who had it last died with it. */
  acquire(options?: WaitOptions & { readonly timeout?: undefined }): Promise<Held>;
  acquire(options?: WaitOptions): Promise<Held | undefined>;
  async acquire(options?: WaitOptions): Promise<Held | undefined> {
    options?.signal?.throwIfAborted();
    this.requireOpen();
    // First come, first served within this process.
    const held = this.waiting === 0 && this.immediate ? this.tryAcquire() : undefined;
    return held ?? this.block(() => this.#take(), options, { giveBack: (permit) => permit.release() });
  }

  /** acquire(), for a thread that attached the space: blocks it. Errors as those of Mutex.lockSync(), when this thread has them all. */
  acquireSync(options?: BlockOptions & { readonly timeout?: undefined }): Held;
  acquireSync(options?: BlockOptions): Held | undefined;
  acquireSync(options?: BlockOptions): Held | undefined {
    this.requireBlocking();
    if (this.#mine.size === this.count) throw this.selfish();
    return this.tryAcquire() ?? this.blockSync(() => this.#take(), options);
  }

  #word(n: number): number {
    return Atomics.load(this.words, this.#owners + n);
  }

  #taken(word: number): boolean {
    return word !== 0 && this.lives.alive(word);
  }

  #take(): Held | undefined {
    for (let n = 0; n < this.count; n++) {
      const word = this.#word(n);
      if (this.#taken(word)) continue;
      if (Atomics.compareExchange(this.words, this.#owners + n, word, this.lives.token) !== word) continue;
      this.#mine.add(n);
      return new Held(word !== 0, () => this.#give(n));
    }
    return undefined;
  }

  #give(n: number): void {
    if (!this.#mine.delete(n)) throw this.notHeld();
    this.requireOpen();
    this.releasing(() => {
      const { token } = this.lives;
      if (Atomics.compareExchange(this.words, this.#owners + n, token, 0) !== token) throw this.lost();
      this.wakeOne();
    });
  }

  protected override mark(): boolean {
    for (let n = 0; n < this.count; n++) if (!this.#taken(this.#word(n))) return false;
    return true;
  }

  protected override passOn(): void {
    if (!this.mark()) this.wakeOne();
  }
}
