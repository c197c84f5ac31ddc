import { setImmediate } from 'node:timers/promises';
import type { Exchange } from '../../../src/dsm/sync/exchange.ts';
import { Synchronization } from '../../../src/dsm/sync/synchronization.ts';
import { IvshmemError } from '../../../src/errors/index.ts';
import type { Member } from './world.ts';

const PAGE_WORDS = 1024;

/** Memory with release consistency: what every host has a copy of, and what was released of that. */
export class Master {
  readonly words: Int32Array;

  constructor(bytes: number) {
    this.words = new Int32Array(bytes / 4);
  }
}

/** What one host has of it, and its exchange. */
export class Copy implements Exchange {
  readonly needed = true;
  readonly words: Int32Array;
  readonly sync: Synchronization;
  /** Called before anything is exchanged; what it throws, that fails with. */
  before: (what: 'release' | 'acquire') => void = () => {};
  readonly #master: Master;
  readonly #twin: Int32Array;

  constructor(member: Member, master: Master) {
    this.#master = master;
    this.words = master.words.slice();
    this.#twin = master.words.slice();
    const gone = (cause?: Error): Error => {
      const params = { name: 's', why: cause?.message ?? 'gone' };
      return new IvshmemError('ERR_IVSHMEM_SYNC_GONE', params, { cause });
    };
    const fetch = async (): Promise<Disposable> => ({ [Symbol.dispose]: () => {} });
    const moving = { gone, fetch, resident: () => true, readable: () => true, exchange: this };
    // No timer looks again: what is not woken stays asleep.
    this.sync = new Synchronization(member.memory, () => {}, 2 ** 31 - 1, moving);
  }

  releaseNow(): void {
    this.before('release');
    this.merge(() => true);
  }

  acquireNow(): void {
    this.before('acquire');
    this.merge(() => true);
    this.words.set(this.#master.words);
    this.#twin.set(this.#master.words);
  }

  async release(): Promise<void> {
    await setImmediate();
    this.releaseNow();
  }

  async acquire(): Promise<void> {
    await setImmediate();
    this.acquireNow();
  }

  /** Some pages, as if they were captured at different times. */
  merge(has: (page: number) => boolean): void {
    for (let n = 0; n < this.words.length; n++) {
      if (this.words[n] === this.#twin[n] || !has(Math.floor(n / PAGE_WORDS))) continue;
      this.#twin[n] = this.words[n]!;
      this.#master.words[n] = this.words[n]!;
    }
  }
}

/** What a node says of an exchange. */
export function refusal(code: 'ERR_IVSHMEM_PAGES_LOST' | 'ERR_IVSHMEM_PAGES_SILENT'): IvshmemError {
  return new IvshmemError(code, { operation: 'flush', on: 'r', page: 'a page' });
}
