import { Blocking, type BlockOptions, type WaitOptions } from './blocking.ts';
import { Held } from './held.ts';
import { type Kind, OBJECT_W, WAITED } from './layout.ts';
import { SlotSet } from './slot-set.ts';

/**
 * Many readers or one writer. The state is the token of the writer, from when it wants in: new readers wait from then on, and it
 * waits for those inside. A reader is a bit of its member's slot, set before it looks at the state; the writer stores its
 * token before it looks at the bits: one of the two sees the other.
 *
 * `writing` holds the writer's token while it may change things. A token that is found there when nobody is writing was left by a dead
 * writer: everybody is told so, until another writer has had it.
 */
export class RwLock extends Blocking {
  override readonly kind: Kind = 'rwlock';
  /** Tasks of this process that read. */
  #reading = 0;
  #writing = false;
  readonly #writer = this.at + OBJECT_W.second;
  readonly #readers = new SlotSet(this.words, this.at + OBJECT_W.members);

  /** Waits until nobody writes. With `timeout`: undefined when that was not so in time. */
  read(options?: WaitOptions & { readonly timeout?: undefined }): Promise<Held>;
  read(options?: WaitOptions): Promise<Held | undefined>;
  async read(options?: WaitOptions): Promise<Held | undefined> {
    options?.signal?.throwIfAborted();
    this.requireOpen();
    // First come, first served within this process.
    const held = this.waiting === 0 && this.immediate ? this.#enter() : undefined;
    this.requireIntact();
    return held ?? this.block(() => this.#enter(), options, { giveBack: (read) => read.release() });
  }

  /** Waits until nobody else reads or writes. A task that reads must not ask for this: it would wait for itself. */
  write(options?: WaitOptions & { readonly timeout?: undefined }): Promise<Held>;
  write(options?: WaitOptions): Promise<Held | undefined>;
  async write(options?: WaitOptions): Promise<Held | undefined> {
    options?.signal?.throwIfAborted();
    this.requireOpen();
    return this.block(() => this.#exclude(), options, {
      withdraw: (first) => (first ? this.#retreat() : undefined),
      giveBack: (held) => held.release(),
    });
  }

  /** read(), for a thread that attached the space: blocks it. Errors as those of Mutex.lockSync(). */
  readSync(options?: BlockOptions & { readonly timeout?: undefined }): Held;
  readSync(options?: BlockOptions): Held | undefined;
  readSync(options?: BlockOptions): Held | undefined {
    this.requireBlocking();
    if (this.#writing) throw this.selfish();
    const held = this.#enter();
    this.requireIntact();
    return held ?? this.blockSync(() => this.#enter(), options);
  }

  /** write(), likewise. */
  writeSync(options?: BlockOptions & { readonly timeout?: undefined }): Held;
  writeSync(options?: BlockOptions): Held | undefined;
  writeSync(options?: BlockOptions): Held | undefined {
    this.requireBlocking();
    if (this.#writing || this.#reading > 0) throw this.selfish();
    return this.blockSync(
      () => this.#exclude(),
      options,
      (first) => (first ? this.#retreat() : undefined),
    );
  }

  #enter(): Held | undefined {
    const { words, state } = this;
    if (this.#reading === 0) this.#readers.add(this.lives.slot);
    let writer = Atomics.load(words, state);
    while (writer !== 0 && !this.#mine(writer) && !this.lives.alive(writer)) {
      if (Atomics.compareExchange(words, state, writer, 0) === writer) this.wakeAll();
      writer = Atomics.load(words, state);
    }
    if (writer !== 0) {
      if (this.#reading === 0) this.#leave();
      return undefined;
    }
    this.#reading++;
    return new Held(Atomics.load(words, this.#writer) !== 0, () => {
      this.requireOpen();
      this.releasing(() => {
        if (--this.#reading === 0) this.#leave();
      });
    });
  }

  /** Takes the reader's bit away, and tells the writer that may wait for that. */
  #leave(): void {
    this.#readers.delete(this.lives.slot);
    const writer = Atomics.load(this.words, this.state);
    if (writer !== 0 && this.lives.alive(writer)) this.wake(writer >>> 24);
  }

  #exclude(): Held | undefined {
    const { words, state } = this;
    if (this.#writing) return undefined;
    for (;;) {
      const word = Atomics.load(words, state);
      if (this.#mine(word)) break;
      if (word !== 0 && this.lives.alive(word)) return undefined;
      if (Atomics.compareExchange(words, state, word, this.lives.token | WAITED) === word) break;
    }
    if (this.#readersInside()) return undefined;
    const abandoned = Atomics.load(words, this.#writer) !== 0;
    Atomics.store(words, this.#writer, this.lives.token);
    this.#writing = true;
    return new Held(abandoned, () => {
      if (!this.#writing) throw this.notHeld();
      this.requireOpen();
      this.releasing(() => {
        this.#writing = false;
        Atomics.store(words, this.#writer, 0);
        this.#free();
      });
    });
  }

  /** A writer that waits for readers gives up. */
  #retreat(): undefined {
    if (!this.#writing && this.#mine(Atomics.load(this.words, this.state))) this.#free();
  }

  #free(): void {
    const mine = this.lives.token | WAITED;
    if (Atomics.compareExchange(this.words, this.state, mine, 0) !== mine) throw this.lost();
    this.wakeAll();
  }

  #mine(word: number): boolean {
    return (word & ~WAITED) === this.lives.token;
  }

  #readersInside(): boolean {
    return this.#readers.find(this.here) >= 0;
  }

  // Releases of a writer always look at the bits: there is nothing to mark, only to look again.
  protected override mark(): boolean {
    const word = Atomics.load(this.words, this.state);
    if (word === 0) return false;
    if (this.#mine(word)) return this.#writing || this.#readersInside();
    return this.lives.alive(word);
  }

  protected override passOn(): void {
    if (Atomics.load(this.words, this.state) === 0) this.wakeAll();
  }
}
