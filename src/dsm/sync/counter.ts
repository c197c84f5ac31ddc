import { Blocking, type BlockOptions, type WaitOptions } from './blocking.ts';
import { type Kind, OBJECT_W } from './layout.ts';

/** A signed 64-bit number that wraps, and waiting for it to become large enough. A death does nothing to it. */
export class Counter extends Blocking {
  override readonly kind: Kind = 'counter';
  protected override readonly ordered = false;
  readonly #value = new BigInt64Array(this.words.buffer, (this.at + OBJECT_W.value) * 4, 1);
  /** Not 0 while somebody waits, so that adding is two instructions while nobody does. */
  readonly #waited = this.at + OBJECT_W.second;

  get value(): bigint {
    this.requireOpen();
    const value = Atomics.load(this.#value, 0);
    this.requireIntact();
    this.acquired(() => {});
    return value;
  }

  /** Adds (or takes away); the value after it. */
  add(amount: bigint | number = 1n): bigint {
    this.requireOpen();
    const by = BigInt(amount);
    return BigInt.asIntN(64, this.#change(() => Atomics.add(this.#value, 0, by)) + by);
  }

  /** Stores; the value before it. */
  set(value: bigint | number): bigint {
    this.requireOpen();
    const next = BigInt(value);
    return this.#change(() => Atomics.exchange(this.#value, 0, next));
  }

  /** It says that something is done, and what others had done before: both ways. */
  #change(change: () => bigint): bigint {
    const before = this.releasing(() => {
      const before = change();
      this.requireIntact();
      this.#changed();
      return before;
    });
    this.acquired(() => {});
    return before;
  }

  /** Waits until the value is at least `least`: the value then. With `timeout`: undefined when it was not in time. */
  reach(least: bigint | number, options?: WaitOptions & { readonly timeout?: undefined }): Promise<bigint>;
  reach(least: bigint | number, options?: WaitOptions): Promise<bigint | undefined>;
  async reach(least: bigint | number, options?: WaitOptions): Promise<bigint | undefined> {
    options?.signal?.throwIfAborted();
    const wanted = BigInt(least);
    const attempt = (): bigint | undefined => {
      const value = Atomics.load(this.#value, 0);
      return value >= wanted ? value : undefined;
    };
    this.requireOpen();
    const value = this.immediate ? attempt() : undefined;
    this.requireIntact();
    return value ?? this.block(attempt, options);
  }

  /** reach(), for a thread that attached the space: blocks it. Errors: ERR_IVSHMEM_SYNC_BLOCKS. */
  reachSync(least: bigint | number, options?: BlockOptions & { readonly timeout?: undefined }): bigint;
  reachSync(least: bigint | number, options?: BlockOptions): bigint | undefined;
  reachSync(least: bigint | number, options?: BlockOptions): bigint | undefined {
    const wanted = BigInt(least);
    this.requireBlocking();
    return this.blockSync(() => {
      const value = Atomics.load(this.#value, 0);
      return value >= wanted ? value : undefined;
    }, options);
  }

  #changed(): void {
    // The flag goes before the bits are looked at: who comes after that sets it again, and looks at the value again.
    if (Atomics.load(this.words, this.#waited) === 0) return;
    Atomics.store(this.words, this.#waited, 0);
    this.wakeAll();
  }

  protected override mark(): boolean {
    if (Atomics.load(this.words, this.#waited) !== 1) Atomics.store(this.words, this.#waited, 1);
    return !this.ready();
  }

  protected override passOn(): void {}
}
