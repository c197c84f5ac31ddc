import { Blocking, type BlockOptions, type WaitOptions } from './blocking.ts';
import { Held } from './held.ts';
import { type Kind, WAITED } from './layout.ts';

/** Each so many releases to somebody who waits, the lock is handed over instead of freed: nobody is overtaken for ever. */
const HAND_OVER = 16;

/**
 * One at a time, among all tasks of all members. Its state is the owner's token, with WAITED when somebody may wait. To lock and
 * to release a free one is one compare-and-swap each.
 */
export class Mutex extends Blocking {
  override readonly kind: Kind = 'mutex';
  #held = false;
  #abandoned = false;
  #releases = 0;

  /** Whether this process holds it. */
  get held(): boolean {
    return this.#held;
  }

  /** Of the lock that is held: whether its last owner died with it. */
  get abandoned(): boolean {
    return this.#abandoned;
  }

  /** Takes it if it is free, or if its owner died (see `abandoned`). Then unlock() gives it back. */
  tryLock(): boolean {
    const taken = this.#tryTake();
    if (taken) this.acquired(() => this.unlock());
    return taken;
  }

  #tryTake(): boolean {
    this.requireOpen();
    // Acquire: pairs with the release in unlock(), of whoever had it before.
    if (Atomics.compareExchange(this.words, this.state, 0, this.lives.token) === 0) {
      this.requireIntact();
      this.#held = true;
      this.#abandoned = false;
      return true;
    }
    const taken = !this.#held && this.#take();
    this.requireIntact();
    return taken;
  }

  /** Gives back what tryLock() took. Errors: ERR_IVSHMEM_SYNC_NOT_HELD, ERR_IVSHMEM_SYNC_LOST. */
  unlock(): void {
    if (!this.#held) throw this.notHeld();
    this.requireOpen();
    this.releasing(() => this.#letGo());
  }

  #letGo(): void {
    this.#held = false;
    const token = this.lives.token;
    if (Atomics.compareExchange(this.words, this.state, token, 0) !== token) this.#unlockWaited();
  }

  /**
   * Waits for it. With `timeout`: undefined when it was not to be had in time. It is not recursive: a task that locks it twice waits
   * for itself.
   */
  lock(options?: WaitOptions & { readonly timeout?: undefined }): Promise<Held>;
  lock(options?: WaitOptions): Promise<Held | undefined>;
  async lock(options?: WaitOptions): Promise<Held | undefined> {
    options?.signal?.throwIfAborted();
    if (this.waiting === 0 && this.immediate && this.tryLock()) return this.#hold();
    this.requireOpen();
    return this.block(() => (!this.#held && this.#take() ? this.#hold() : undefined), options, {
      giveBack: (held) => held.release(),
    });
  }

  /**
   * lock(), for a thread that attached the space: blocks it. Errors: ERR_IVSHMEM_SYNC_BLOCKS in a thread that must not be blocked,
   * ERR_IVSHMEM_SYNC_ITSELF when this thread holds it.
   */
  lockSync(options?: BlockOptions & { readonly timeout?: undefined }): Held;
  lockSync(options?: BlockOptions): Held | undefined;
  lockSync(options?: BlockOptions): Held | undefined {
    this.requireBlocking();
    if (this.#held) throw this.selfish();
    if (this.tryLock()) return this.#hold();
    return this.blockSync(() => (!this.#held && this.#take() ? this.#hold() : undefined), options);
  }

  #hold(): Held {
    return new Held(this.#abandoned, () => this.unlock());
  }

  /** Everything but the plain case: free, handed to this member, or left behind by one that is dead. */
  #take(): boolean {
    const mine = this.lives.token | WAITED; // others may wait: the release has to look
    const { words, state } = this;
    for (;;) {
      const word = Atomics.load(words, state);
      const handed = (word & ~WAITED) === this.lives.token;
      const left = !handed && word !== 0 && !this.lives.alive(word);
      if (word !== 0 && !handed && !left) return false;
      if (Atomics.compareExchange(words, state, word, mine) !== word) continue;
      this.#held = true;
      this.#abandoned = left;
      return true;
    }
  }

  #unlockWaited(): void {
    const { words, state } = this;
    const mine = this.lives.token | WAITED;
    if (++this.#releases % HAND_OVER === 0) {
      const slot = this.waiters.take(this.lives.slot, this.here);
      const token = slot < 0 ? 0 : this.lives.tokenOf(slot);
      if (token !== 0 && slot !== this.lives.slot) {
        if (Atomics.compareExchange(words, state, mine, token | WAITED) !== mine) throw this.lost();
        this.wake(slot);
        // It may have died just before it got it, and everybody may know by now: then nobody would look again.
        if (this.lives.alive(token)) return;
        if (Atomics.compareExchange(words, state, token | WAITED, 0) === (token | WAITED)) this.wakeOne();
        return;
      }
      if (slot === this.lives.slot) this.waiters.add(slot);
    }
    if (Atomics.compareExchange(words, state, mine, 0) !== mine) throw this.lost();
    this.wakeOne();
  }

  protected override mark(): boolean {
    const { words, state } = this;
    for (;;) {
      const word = Atomics.load(words, state);
      if (word === 0) return false;
      const ours = (word & ~WAITED) === this.lives.token;
      if (ours ? !this.#held : !this.lives.alive(word)) return false;
      if ((word & WAITED) !== 0) return true;
      if (Atomics.compareExchange(words, state, word, word | WAITED) === word) return true;
    }
  }

  protected override passOn(): void {
    const { words, state } = this;
    const mine = this.lives.token | WAITED;
    for (;;) {
      const word = Atomics.load(words, state);
      if (word === 0) {
        this.wakeOne();
        return;
      }
      if (word === mine && !this.#held) {
        // It was handed to this member, where nobody wants it any more.
        if (Atomics.compareExchange(words, state, mine, 0) === mine) this.wakeOne();
        return;
      }
      if ((word & WAITED) !== 0 || this.waiters.empty) return;
      if (Atomics.compareExchange(words, state, word, word | WAITED) === word) return;
    }
  }
}
