import { Blocking, type BlockOptions, type WaitOptions } from './blocking.ts';
import type { Kind } from './layout.ts';

/** No token: tokens of members are even. */
const DONE = 1;

interface Chosen {
  readonly run: boolean;
}

/** Something that one of all members does, once in the life of the space. The state is the token of who is at it, then DONE. */
export class Once extends Blocking {
  override readonly kind: Kind = 'once';

  get done(): boolean {
    this.requireOpen();
    const done = Atomics.load(this.words, this.state) === DONE;
    this.requireIntact();
    if (done) this.acquired(() => {});
    return done;
  }

  /**
   * Runs `action` unless somebody has; waits while somebody is at it. True in the one that ran it. When it throws, or its member dies
   * at it, the next one runs it: it has to bear that. With `timeout` (of the waiting): undefined when it was not done in time.
   */
  async run(action: () => unknown, options?: WaitOptions): Promise<boolean | undefined> {
    options?.signal?.throwIfAborted();
    this.requireOpen();
    const giveBack = ({ run }: Chosen): void => {
      if (run) this.#end(0);
    };
    const chosen = await this.block(() => this.#choose(), options, { giveBack });
    if (chosen === undefined) return undefined;
    if (!chosen.run) return false;
    try {
      await action();
      await this.around.exchange.release();
    } catch (error) {
      if (this.around.open) this.#end(0);
      throw error;
    }
    this.requireOpen();
    this.#end(DONE);
    return true;
  }

  /**
   * run(), for a thread that attached the space: blocks it while another is at it. `action` is done when it returns. Errors as those of
   * Mutex.lockSync().
   */
  runSync(action: () => void, options?: BlockOptions): boolean | undefined {
    this.requireBlocking();
    if (Atomics.load(this.words, this.state) === this.lives.token) throw this.selfish();
    const chosen = this.blockSync(() => this.#choose(), options);
    if (chosen === undefined) return undefined;
    if (!chosen.run) return false;
    try {
      action();
    } catch (error) {
      if (this.around.open) this.#end(0);
      throw error;
    }
    this.requireOpen();
    this.#end(DONE);
    return true;
  }

  #end(state: number): void {
    const { token } = this.lives;
    this.requireIntact();
    if (Atomics.compareExchange(this.words, this.state, token, state) !== token) throw this.lost();
    this.wakeAll();
  }

  #choose(): Chosen | undefined {
    const { words, state } = this;
    for (;;) {
      const word = Atomics.load(words, state);
      if (word === DONE) return { run: false };
      if (word !== 0 && this.lives.alive(word)) return undefined;
      if (Atomics.compareExchange(words, state, word, this.lives.token) === word) return { run: true };
    }
  }

  protected override mark(): boolean {
    const word = Atomics.load(this.words, this.state);
    return word !== DONE && word !== 0 && this.lives.alive(word);
  }

  // Its end wakes all.
  protected override passOn(): void {
    if (Atomics.load(this.words, this.state) === 0) this.wakeOne();
  }
}
